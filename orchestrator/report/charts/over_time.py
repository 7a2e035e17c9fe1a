"""The chart of each engine's speed over versions and dates, one line per machine."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from orchestrator.report.charts import style
from orchestrator.report.charts.by_shape import DASHES, LINES
from orchestrator.report.charts.style import Figure
from orchestrator.report.formatting import speed
from orchestrator.report.tables import versions as history
from orchestrator.results.row import Row, when


def over_time(summary: dict[str, Any]) -> Figure | None:
    """x: start of the run; y: decode speed. A point is labelled with the engine's version where that changes."""
    lines = [
        [row for row in points if row["outcome"] == "ok" and row["decode_tps"] and when(row)[:1].isdigit()]
        for setting in history.lines(summary["rows"]).values()
        for points in setting.values()
    ]
    several = [rows for rows in lines if len(rows) > 1]
    if not several:
        return None
    shown = sorted(several, key=len, reverse=True)[:LINES]
    note = None
    if len(shown) < len(several):
        note = f"The {len(shown)} longest of {len(several)} lines; `report --history` prints all."
    keys = [key for key in ("machine", "device", "isolation") if len({rows[0][key] for rows in shown}) > 1]
    colours, data = style.colours(summary), []
    lines_drawn: Counter[str] = Counter()  # by engine
    for rows in shown:
        first = rows[0]

        name = style.plain(" · ".join([f"{first['title']} {first['variant']}", *(str(first[key]) for key in keys)]), 80)
        values = [row["decode_tps"] for row in rows]
        data.append({
            "type": "scatter", "mode": "lines+markers+text", "name": name,
            "x": [when(row) for row in rows], "y": [value["median"] for value in values],
            "error_y": style.error(values), "text": _versions(rows), "textposition": "top center",
            "hoverinfo": "text", "hovertext": [f"<b>{name}</b><br>" + style.hover(*_about(row)) for row in rows],
            "line": {"color": colours[first["engine"]], "dash": DASHES[lines_drawn[first["engine"]] % len(DASHES)]},
            "marker": {"symbol": style.symbol(first["precision"]), "size": 9},
        })  # fmt: skip
        lines_drawn[first["engine"]] += 1
    return style.figure(
        "History", data, note, xaxis={"title": {"text": "measured"}, "type": "date"},
        yaxis=style.axis("decode, tokens/s", [y for trace in data for y in trace["y"]]),
    )  # fmt: skip


def _versions(rows: list[Row]) -> list[str]:
    """The version at the first point and wherever it changes."""
    versions = [None, *(row["engine_version"] for row in rows)]
    return [style.plain(f"v{version}", 16) if version != before else "" for before, version in pairwise(versions)]


def _about(row: Row) -> tuple[str, str, str]:
    return f"{speed(row)} tokens/s", f"version {row['engine_version']}", f"measured {when(row)}"
