"""How one figure, flag or reason is written, wherever it is shown."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
NOTES = {
    "not_a_measurement": "quick profile: one launch, not a measurement",
    "synthetic_weights": "synthetic weights",
    "noisy_host": "others used this host's CPU: repeat on an idle machine",
    "not_steady": "warm-up did not settle: expect spread",
    "not_streamed": "no token streaming: decode speed derived from two runs",
    "bandwidth_moved": "the host's memory bandwidth moved by a fifth meanwhile: repeat when it is idle",
    "above_peak": "prefill outran the measured peak of matrix products: that is a lower bound, and MFU too high",
    "drift": "every launch went the same way: let the machine settle, or take more launches",
    "slow_first": "the first measured iteration was slower than the others: expect a slow start",
    "throttled": "the device lowered its clocks because of heat or power: improve its cooling, or its power limit",
    "power_capped": "the device ran at its power limit: raise it, or say so with the figures",
    "gpu_lost": "the GPU was lost while it was measured",
    "ready_made": "ready-made checkpoint: quantised by others; only quality figures tell how close it is to this model",
    "unverified": "no author has run this engine on this kind of device",
}


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


def one_line(text: object, limit: int = 200) -> str:
    """A name or reason from outside for a line on a terminal: control characters act as spaces, the rest is cut."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in str(text)).split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def notes(row: Row) -> str:
    """What a reader must know about a row, in words."""
    words = [NOTES[flag] for flag in row["flags"] if flag in NOTES]
    if row["caveat"]:
        words.append(row["caveat"])
    return "; ".join(words)


def first_line(reason: str | None) -> str:
    """The telling line of a reason: a traceback tells in its last line."""
    lines = [line for line in (reason or "").splitlines() if line.strip()]
    if not lines:
        return ""
    return (lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0])[:300]
