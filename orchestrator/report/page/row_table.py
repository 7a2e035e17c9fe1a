"""The data of the page's table: raw values of all rows, so that the browser can sort by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrator.base.escape import first_line, log_text
from orchestrator.report.charts.style import rounded
from orchestrator.results.metrics.metric import Metric, Style
from orchestrator.results.metrics.registry import on_page
from orchestrator.results.row import Row, notes, workload_title

CELL = 300  # characters of a text; summary.json has it whole


class Column(NamedTuple):
    """`kind` is the browser's format: text, number, percent, fine (percent with two digits), small, flags, interval,
    whose value is [median, low, high], or speed: an interval, or the outcome's word."""

    title: str
    tip: str
    kind: str
    value: Callable[[Row], Any]
    shown: bool = True
    filtered: bool = False  # by a list of its values above the table


WHO = (
    Column("Engine", "the engine's name", "text", lambda row: row["title"], filtered=True),
    Column("Variant", "one way to run the engine", "text", lambda row: row["variant"]),
    Column("Workload", "model and shape", "text", workload_title, filtered=True),
    Column("Machine", "host name", "text", lambda row: row["machine"], filtered=True),
)
HOW = (
    Column("Precision", "of the weights", "text", lambda row: row["precision"], filtered=True),
    Column("Outcome", "ok, or the word of what went wrong", "text", lambda row: row["outcome"], filtered=True),
    Column("Flags", "what a reader must know", "flags", lambda row: row["flags"], filtered=True),
    Column("Device", "what it ran on", "text", lambda row: f"{row['device']}: {row['device_name']}", filtered=True),
    Column("Isolation", "container or virtual environment", "text", lambda row: row["isolation"], filtered=True),
)
REST = (
    Column("Launches", "measured", "number", lambda row: row["launches"], shown=False),
    Column("Version", "of the engine", "text", lambda row: row["engine_version"], shown=False),
)
KINDS = {
    Style.MEDIAN: "interval",
    Style.SCIENTIFIC: "small",
    Style.UTILISATION: "percent",
}  # else the style's own value
ONLY_WHERE_SEVERAL = ("Workload", "Machine", "Device", "Isolation")


def columns() -> list[Column]:
    """WHO, the most important metrics, HOW; then, hidden at first, the other metrics and REST."""
    metrics = [_column(metric) for metric in on_page()]
    hidden = [column for column in metrics if not column.shown]
    return [*WHO, *(column for column in metrics if column.shown), *HOW, *hidden, *REST]


def _column(metric: Metric) -> Column:
    kind, scale = KINDS.get(metric.style, metric.style.value), metric.scale

    def value(row: Row) -> Any:
        reading = metric.read(row)
        if reading.value is None:
            return None
        if kind not in ("interval", "speed"):
            return reading.value * scale
        return [None if figure is None else figure * scale for figure in (reading.value, reading.low, reading.high)]

    return Column(metric.head, metric.meaning, kind, value, shown=metric.page is True)


def table(rows: list[Row]) -> dict[str, Any]:
    """{"columns", "rows"} for the browser; the last cell of a row is its details as [name, text] pairs."""
    shown = [
        (column, column.shown and (column.title not in ONLY_WHERE_SEVERAL or _several(rows, column)))
        for column in columns()
    ]
    head = [
        {"title": column.title, "tip": column.tip, "kind": column.kind, "shown": is_shown, "filtered": column.filtered}
        for column, is_shown in shown
    ]
    return {
        "columns": head,
        "rows": [[*(_cell(column.value(row)) for column, _ in shown), _details(row)] for row in rows],
    }


def _several(rows: list[Row], column: Column) -> bool:
    return len({column.value(row) for row in rows}) > 1


def _cell(value: Any) -> Any:
    return short(value) if isinstance(value, str) else rounded(value)


def _details(row: Row) -> list[list[str]]:
    not_passed = [f"{name}: {word}" for name, word in (row["gates"] or {}).items() if word != "pass"]
    details = {
        "Outcome": None if row["outcome"] == "ok" else f"{row['outcome']}: {first_line(row['reason'])}",
        "Notes": notes(row),
        "Settings": json.dumps(row["settings"]) if row["settings"] else None,
        "Scheme": row["scheme"] if row["scheme"] != row["variant"] else None,
        "Gates not passed": "; ".join(not_passed) if row["outcome"] == "ok" else None,
        "Quality": row["quality_reason"],
        "Energy": row["energy_validity"] if row["energy_j_per_token"] is None else None,
        "Threads": row["threads"],
        "Image": row["image"],
        "Artefact": row.get("artefact"),
        "Repeat it": row["reproduce"],
        "From": row.get("source"),
    }
    return [[name, short(log_text(str(text)))] for name, text in details.items() if text]


def short(text: str, limit: int = CELL) -> str:
    """At most `limit` characters; a longer text ends in "…"."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
