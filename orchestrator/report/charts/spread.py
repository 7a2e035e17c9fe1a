"""Charts of the spread of step times and of launches."""

from __future__ import annotations

from typing import Any

from orchestrator.judge.speed import P90_NEEDS
from orchestrator.report.charts import style
from orchestrator.report.charts.style import Figure
from orchestrator.report.formatting import number
from orchestrator.results.row import Row


def step_times(summary: dict[str, Any]) -> Figure | None:
    """A box per row from the quantiles of all its measured steps, the shortest median on top."""
    streamed = [row for row in summary["rows"] if row["outcome"] == "ok" and row.get("itl_quantiles")]
    if not streamed:
        return None
    rows = sorted(streamed, key=lambda row: -row["itl_quantiles"]["seconds"][3])[-style.BARS :]
    left_out = len(streamed) - len(rows)
    note = f"The {len(rows)} shortest of {len(streamed)} rows; the table has all." if left_out else None
    colours, names = style.colours(summary), style.names(rows)
    data: list[dict[str, Any]] = []
    for position, (name, row) in enumerate(zip(names, rows, strict=True)):
        quantiles, count = [1000 * value for value in row["itl_quantiles"]["seconds"]], row["itl_quantiles"]["count"]
        least, low, first, middle, third, high, most = quantiles
        if count < P90_NEEDS:  # too few steps for a tail: the whiskers are the shortest and the longest
            low, high = least, most
        data += [
            {"type": "box", "orientation": "h", "name": name, "y": [position], "q1": [first], "median": [middle],
             "q3": [third], "lowerfence": [low], "upperfence": [high], "line": {"color": colours[row["engine"]]},
             "hoverinfo": "skip", "showlegend": False},
            {"type": "scatter", "mode": "markers", "x": [least, middle, most], "y": [position] * 3,
             "marker": {"color": colours[row["engine"]], "size": [5, 0.1, 5]}, "hoverinfo": "text",
             "hovertext": [_steps(name, quantiles, count)] * 3, "showlegend": False},
        ]  # fmt: skip
    return style.figure(
        "Step times", data, note, height=140 + 28 * len(rows),
        xaxis=style.axis("step, ms", [x for trace in data for x in trace.get("x", [])], span=5),
        yaxis={"tickvals": list(range(len(rows))), "ticktext": names, "automargin": True},
    )  # fmt: skip


def _steps(name: str, quantiles: list[float], count: int) -> str:
    least, low, first, middle, third, high, most = map(number, quantiles)
    tails = f"5 to 95 %: {low} to {high} ms" if count >= P90_NEEDS else "too few steps for a tail"
    return f"<b>{name}</b><br>" + style.hover(
        f"median {middle} ms of {count} steps", f"middle half {first} to {third} ms", tails, f"all {least} to {most} ms"
    )


def launches(summary: dict[str, Any]) -> Figure | None:
    """Each launch's median decode speed relative to its row's, in percent, the widest row at the bottom."""
    repeated = [row for row in summary["rows"] if row["outcome"] == "ok" and len(_values(row)) > 1]
    if not repeated:
        return None
    rows = sorted(repeated, key=_width, reverse=True)
    note = None
    if len(rows) > style.BARS:
        rows = rows[: style.BARS]
        note = f"The {len(rows)} widest of {len(repeated)} rows; the table has all."
    colours, names = style.colours(summary), style.names(rows)
    data = []
    for position, (name, row) in enumerate(zip(names, rows, strict=True)):
        middle, values = row["decode_tps"]["median"], _values(row)
        blocks = row.get("blocks") or []
        data.append({
            "type": "scatter", "mode": "lines+markers", "x": [100 * (value / middle - 1) for value in values],
            "y": [position] * len(values), "showlegend": False, "hoverinfo": "text",
            "marker": {"color": colours[row["engine"]], "size": 9, "opacity": 0.75},
            "line": {"color": colours[row["engine"]], "width": 1},
            "hovertext": [f"<b>{name}</b><br>" + style.hover(
                f"launch {blocks[number] + 1 if number < len(blocks) else number + 1}: {value:.4g} tokens/s",
                f"{100 * (value / middle - 1):+.1f} % of the row's median") for number, value in enumerate(values)],
        })  # fmt: skip
    line = {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": "#8b93a5"}}
    return style.figure(
        "Launch to launch", data, note, height=140 + 24 * len(rows), shapes=[line],
        xaxis={"title": {"text": "% of the row's median decode speed"}, "ticksuffix": " %", "zeroline": False},
        yaxis={"tickvals": list(range(len(rows))), "ticktext": names, "automargin": True},
    )  # fmt: skip


def _values(row: Row) -> list[float]:
    return row["decode_tps"]["values"] if row["decode_tps"] else []


def _width(row: Row) -> float:
    return (max(_values(row)) - min(_values(row))) / row["decode_tps"]["median"]
