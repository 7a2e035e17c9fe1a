"""Two things a reader wants at once, and the rows that no other row beats in both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.report.charts import style
from orchestrator.report.charts.style import Figure
from orchestrator.report.formatting import number, percent, scientific, speed
from orchestrator.results.metrics.registry import METRICS
from orchestrator.results.row import Row

Axis = Callable[[Row], float | None]


def memory_mib(row: Row) -> float | None:
    """What must be free to run a row, in MiB, as `choose` counts it: mapped files too on a CPU."""
    return METRICS["memory"].read(row).value


def top1(row: Row) -> float | None:
    """Share of positions at which the row's most likely token is the float32 reference's."""
    return (row["quality"] or {}).get("top1")


def decode(row: Row) -> float | None:
    """Median decode speed of a row that is ok, tokens/s."""
    return row["decode_tps"]["median"] if row["outcome"] == "ok" and row["decode_tps"] else None


def pareto(rows: list[Row], gain: Axis, cost: Axis) -> list[Row]:
    """The rows that no other beats: none has at least their gain at less cost, or more gain at their cost.

    Sorted by rising cost, and so by rising gain. Rows with an unknown value belong to none.
    """
    known = [(cost(row), gain(row), row) for row in rows]
    known = [each for each in known if each[0] is not None and each[1] is not None]
    front, best = [], float("-inf")
    for _, gained, row in sorted(known, key=lambda each: (each[0], -each[1])):
        if gained > best:
            best = gained
            front.append(row)
    return front


def speed_quality(summary: dict[str, Any]) -> Figure | None:
    """x: decode speed with its interval; y: top-1 agreement with the reference, in percent."""
    rows = [row for row in summary["rows"] if decode(row) is not None and top1(row) is not None]
    if not rows:
        return None
    front = pareto(rows, gain=top1, cost=lambda row: -decode(row))
    rows, note = style.thinned(rows, front)
    x, y = (lambda row: row["decode_tps"]["median"]), (lambda row: 100 * top1(row))
    data = [_front(front, x, y, "vh"), *_points(summary, rows, x, y, "error_x"), *style.legend_of_symbols(rows)]
    return style.figure(
        "Speed against quality", data, note,
        xaxis=style.axis("decode, tokens/s", [x(row) for row in rows]),
        yaxis={"title": {"text": "top-1 agreement, %"}},
    )  # fmt: skip


def memory_speed(summary: dict[str, Any]) -> Figure | None:
    """x: peak memory in MiB; y: decode speed with its interval."""
    rows = [row for row in summary["rows"] if decode(row) is not None and memory_mib(row) is not None]
    if not rows:
        return None
    front = pareto(rows, gain=decode, cost=memory_mib)
    rows, note = style.thinned(rows, front)
    data = [_front(front, memory_mib, decode, "hv"), *_points(summary, rows, memory_mib, decode, "error_y"),
            *style.legend_of_symbols(rows)]  # fmt: skip
    return style.figure(
        "Memory against speed", data, note,
        xaxis=style.axis("peak memory, MiB", [memory_mib(row) for row in rows]),
        yaxis=style.axis("decode, tokens/s", [decode(row) for row in rows]),
    )  # fmt: skip


def _front(rows: list[Row], x: Axis, y: Axis, shape: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": "not beaten in both", "hoverinfo": "skip",
        "x": [x(row) for row in rows], "y": [y(row) for row in rows],
        "line": {"color": "#8b93a5", "width": 2, "dash": "dot", "shape": shape},
    }  # fmt: skip


def _points(summary: dict[str, Any], rows: list[Row], x: Axis, y: Axis, whose: str) -> list[dict[str, Any]]:
    """One trace an engine, coloured by engine, a symbol by precision, error bars of the decode speed."""
    names, traces = dict(zip(map(id, rows), style.names(rows), strict=True)), []
    for engine, colour in style.colours(summary).items():
        mine = [row for row in rows if row["engine"] == engine]
        if not mine:
            continue
        traces.append({
            "type": "scatter", "mode": "markers", "name": style.plain(mine[0]["title"]),
            "x": [x(row) for row in mine], "y": [y(row) for row in mine],
            "marker": {"color": colour, "size": 11, "symbol": [style.symbol(row["precision"]) for row in mine],
                       "line": {"width": 1, "color": "rgba(127,127,127,0.6)"}},
            whose: {**style.error([row["decode_tps"] for row in mine]), "color": colour},
            "hoverinfo": "text", "hovertext": [_about(row, names[id(row)]) for row in mine],
        })  # fmt: skip
    return traces


def _about(row: Row, name: str) -> str:
    quality = row["quality"] or {}
    agreement = f"top-1 {percent(top1(row), 2)}, KL {scientific(quality.get('kl'))}" if quality else None
    return f"<b>{name}</b><br>" + style.hover(
        f"{speed(row)} tokens/s", agreement, f"{number(memory_mib(row))} MiB peak", ", ".join(row["flags"])
    )
