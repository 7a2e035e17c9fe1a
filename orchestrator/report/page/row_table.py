"""All rows as the data of the page's table: raw values, so that the browser can sort them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrator.base.escape import first_line, log_text
from orchestrator.report.charts.style import rounded
from orchestrator.report.charts.tradeoffs import memory_mib
from orchestrator.results.row import Row, notes, workload_title

CELL = 300  # characters of one text; the files beside the page hold longer ones


class Column(NamedTuple):
    """`kind` says how the browser writes it: text, number, percent, fine (percent with two digits), small, flags, or
    interval, whose value is [median, low, high], or speed: an interval, or the outcome's word."""

    title: str
    tip: str
    kind: str
    value: Callable[[Row], Any]
    shown: bool = True
    filtered: bool = False  # a list to choose from stands above the table


def _interval(metric: str, scale: float = 1.0) -> Callable[[Row], list[float | None] | None]:
    def value(row: Row) -> list[float | None] | None:
        found = row[metric]
        return found and [known and known * scale for known in (found["median"], found["low"], found["high"])]

    return value


def _quality(name: str) -> Callable[[Row], float | None]:
    return lambda row: (row["quality"] or {}).get(name)


def _scaled(name: str, scale: float) -> Callable[[Row], float | None]:
    return lambda row: None if row[name] is None else row[name] * scale


COLUMNS = (
    Column("Engine", "the engine's name", "text", lambda row: row["title"], filtered=True),
    Column("Variant", "one way to run the engine", "text", lambda row: row["variant"]),
    Column("Workload", "model and shape", "text", workload_title, filtered=True),
    Column("Machine", "host name", "text", lambda row: row["machine"], filtered=True),
    Column("Decode tok/s", "median of launches [interval]", "speed", _interval("decode_tps")),
    Column("TTFT ms", "time to the first token", "interval", _interval("ttft_s", 1000)),
    Column("Prefill tok/s", "prompt tokens over TTFT", "interval", _interval("prefill_tps")),
    Column("Memory MiB", "peak, mapped files too", "number", memory_mib),
    Column("MBU", "share of the memory bandwidth that decoding uses", "percent", lambda row: row["mbu"]),
    Column("Top-1", "agreement with the float32 reference", "fine", _quality("top1")),
    Column("KL", "mean divergence from the reference, nats", "small", _quality("kl")),
    Column("J/token", "energy", "small", lambda row: row["energy_j_per_token"]),
    Column("Precision", "of the weights", "text", lambda row: row["precision"], filtered=True),
    Column("Outcome", "ok, or the word of what went wrong", "text", lambda row: row["outcome"], filtered=True),
    Column("Flags", "what a reader must know", "flags", lambda row: row["flags"], filtered=True),
    Column("Device", "what it ran on", "text", lambda row: f"{row['device']}: {row['device_name']}", filtered=True),
    Column("Isolation", "container or virtual environment", "text", lambda row: row["isolation"], filtered=True),
    Column("Step ms", "median time of a decode step", "interval", _interval("itl_s", 1000), shown=False),
    Column("p99 ms", "of step times, where enough were measured", "number", _scaled("itl_p99_s", 1000), shown=False),
    Column("End to end tok/s", "prompt included", "interval", _interval("e2e_tps"), shown=False),
    Column("Weights MiB", "as loaded", "number", lambda row: row["weights_mib"], shown=False),
    Column("MFU", "share of the matrix product peak that prefill uses", "percent", lambda row: row["mfu"], shown=False),
    Column("Perplexity", "on the reference's text", "number", _quality("perplexity"), shown=False),
    Column("Greedy match", "tokens before the first difference", "percent", _quality("greedy_match"), shown=False),
    Column("Load s", "cold start", "number", lambda row: row["load_s"], shown=False),
    Column("Launches", "measured", "number", lambda row: row["launches"], shown=False),
    Column("Version", "of the engine", "text", lambda row: row["engine_version"], shown=False),
)
ONLY_WHERE_SEVERAL = ("Workload", "Machine", "Device", "Isolation")


def table(rows: list[Row]) -> dict[str, Any]:
    """{"columns", "rows"} for the browser; the last cell of a row is its details as [name, text] pairs."""
    columns = [
        (column, column.shown and (column.title not in ONLY_WHERE_SEVERAL or _several(rows, column)))
        for column in COLUMNS
    ]
    head = [
        {"title": column.title, "tip": column.tip, "kind": column.kind, "shown": shown, "filtered": column.filtered}
        for column, shown in columns
    ]
    return {
        "columns": head,
        "rows": [[*(_cell(column.value(row)) for column, _ in columns), _details(row)] for row in rows],
    }


def _several(rows: list[Row], column: Column) -> bool:
    return len({column.value(row) for row in rows}) > 1


def _cell(value: Any) -> Any:
    return short(value) if isinstance(value, str) else rounded(value)


def _details(row: Row) -> list[list[str]]:
    unproved = [f"{name}: {word}" for name, word in (row["gates"] or {}).items() if word != "pass"]
    told = {
        "Outcome": None if row["outcome"] == "ok" else f"{row['outcome']}: {first_line(row['reason'])}",
        "Notes": notes(row),
        "Settings": json.dumps(row["settings"]) if row["settings"] else None,
        "Scheme": row["scheme"] if row["scheme"] != row["variant"] else None,
        "Gates not passed": "; ".join(unproved) if row["outcome"] == "ok" else None,
        "Quality": row["quality_reason"],
        "Energy": row["energy_validity"] if row["energy_j_per_token"] is None else None,
        "Threads": row["threads"],
        "Image": row["image"],
        "Artefact": row.get("artefact"),
        "Repeat it": row["reproduce"],
        "From": row.get("source"),
    }
    return [[name, short(log_text(str(text)))] for name, text in told.items() if text]


def short(text: str, limit: int = CELL) -> str:
    """At most `limit` characters; a longer text ends in "…"."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
