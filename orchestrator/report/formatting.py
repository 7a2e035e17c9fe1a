"""How one figure is written, wherever it is shown."""

from __future__ import annotations

from typing import Any

from orchestrator.results.row import Row


def speed(row: Row, metric: str = "decode_tps") -> str:
    """`median [low, high]`, without interval where there were too few launches; the outcome's word if not ok."""
    value = row[metric]
    if row["outcome"] != "ok" or value is None:
        return row["outcome"] if row["outcome"] != "ok" else "n/a"
    if value["low"] is None:
        return number(value["median"])
    return f"{number(value['median'])} [{number(value['low'])}, {number(value['high'])}]"


def mean_std(row: Row, metric: str = "decode_tps") -> str:
    """`mean ± std` over all iterations, as older tables print it."""
    value = row[metric]
    if row["outcome"] != "ok" or value is None:
        return row["outcome"] if row["outcome"] != "ok" else "n/a"
    return f"{number(value['mean'])} ± {number(value['std'])}" if value["std"] is not None else number(value["mean"])


def memory(row: Row) -> str:
    """Weights as loaded / peak of anonymous and shared memory + mapped files, in MiB."""
    if row["outcome"] != "ok":
        return row["outcome"]
    weights, peak, mapped = (number(row[key]) for key in ("weights_mib", "peak_host_mib", "peak_mapped_file_mib"))
    return f"{weights} / {peak} + {mapped}"


def number(value: float | None) -> str:
    """Three or more significant digits, no exponent; "?" for unknown."""
    if value is None:
        return "?"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percent(value: float | None, digits: int = 0) -> str:
    return "?" if value is None else f"{100 * value:.{digits}f} %"


def utilisation(value: float | None, digits: int = 0) -> str:
    """A share of a measured peak. Beyond it the peak was too low, and by how much says nothing of the engine."""
    return "> 100 %" if value is not None and value > 1 else percent(value, digits)


def scientific(value: float | None) -> str:
    return "?" if value is None else f"{value:.2g}"


def milliseconds(value: dict[str, Any] | None) -> str:
    return "n/a" if value is None else number(value["median"] * 1000)
