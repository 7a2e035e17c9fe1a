"""Formats single figures, the same wherever they are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.base.outcomes import Outcome
from orchestrator.results.metrics.metric import Metric, Reading, Style
from orchestrator.results.metrics.registry import METRICS
from orchestrator.results.row import Row


def cell(metric: Metric, row: Row) -> str:
    """The text of a table's cell: a metric of a row, in the unit that the column's head names."""
    if metric.style is Style.SPEED and row["outcome"] != Outcome.OK:
        return row["outcome"]
    reading = metric.read(row)
    if reading.value is None:
        return reading.word or metric.absent
    if metric.style in (Style.SPEED, Style.INTERVAL):
        return interval(reading, metric.scale)
    return WRITERS[metric.style](reading.value * metric.scale)


def interval(reading: Reading, scale: float = 1.0) -> str:
    """`value [low, high]`; the value alone where there were too few launches for an interval."""
    figures = (None if figure is None else figure * scale for figure in (reading.value, reading.low, reading.high))
    value, low, high = map(number, figures)
    return value if reading.low is None else f"{value} [{low}, {high}]"


def speed(row: Row) -> str:
    """Decode speed; the outcome of a row that is not ok."""
    return cell(METRICS["decode_tps"], row)


def mean_std(row: Row, metric: str = "decode_tps") -> str:
    """`mean ± std` over all iterations, as benchmark tables commonly print it."""
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
    """At least three significant digits, no exponent; "?" for an unknown value."""
    if value is None:
        return "?"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percent(value: float | None, digits: int = 0) -> str:
    return "?" if value is None else f"{100 * value:.{digits}f} %"


def utilisation(value: float | None, digits: int = 0) -> str:
    """A share of a measured peak. Above 100 % the peak was measured too low, so that the excess means nothing."""
    return "> 100 %" if value is not None and value > 1 else percent(value, digits)


def scientific(value: float | None) -> str:
    return "?" if value is None else f"{value:.2g}"


WRITERS: dict[Style, Callable[[float], str]] = {
    Style.MEDIAN: number,
    Style.NUMBER: number,
    Style.SMALL: number,
    Style.SCIENTIFIC: scientific,
    Style.PERCENT: percent,
    Style.FINE_PERCENT: lambda value: percent(value, 2),
    Style.UTILISATION: utilisation,
}


def milliseconds(value: dict[str, Any] | None) -> str:
    return "n/a" if value is None else number(value["median"] * 1000)
