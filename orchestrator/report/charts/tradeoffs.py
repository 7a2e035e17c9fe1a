"""Charts of two metrics against each other, with the Pareto front: the rows that no other row beats in both."""

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
    """The memory that a row needs, in MiB, as `choose` counts it: on a CPU including mapped files."""
    return METRICS["memory"].read(row).value


def top1(row: Row) -> float | None:
    """Share of positions at which the row's most likely token is that of the float32 reference."""
    return (row["quality"] or {}).get("top1")


def decode(row: Row) -> float | None:
    """Median decode speed of a row that is ok, tokens/s."""
    return row["decode_tps"]["median"] if row["outcome"] == "ok" and row["decode_tps"] else None


def valued(rows: list[Row], axis: Axis) -> list[tuple[float, Row]]:
    """(value, row) of every row whose value is known."""
    return [(value, row) for row in rows if (value := axis(row)) is not None]


def pareto(rows: list[Row], gain: Axis, cost: Axis) -> list[Row]:
    """The rows that no other beats: none has at least their gain at less cost, or more gain at their cost.

    Sorted by rising cost, and so by rising gain. Rows with an unknown value are left out.
    """
    points = [(spent, gained, row) for spent, row in valued(rows, cost) if (gained := gain(row)) is not None]
    front, best = [], float("-inf")
    for _, gained, row in sorted(points, key=lambda point: (point[0], -point[1])):
        if gained > best:
            best = gained
            front.append(row)
    return front


def speed_quality(summary: dict[str, Any]) -> Figure | None:
    """x: decode speed with its interval; y: top-1 agreement with the reference, in percent."""
    rows = [row for row in summary["rows"] if decode(row) is not None and top1(row) is not None]
    if not rows:
        return None
    front = pareto(rows, gain=top1, cost=_scaled(decode, -1))
    rows, note = style.thinned(rows, front)
    x, y = decode, _scaled(top1, 100)
    data = [_front(front, x, y, "vh"), *_points(summary, rows, x, y, "error_x"), *style.legend_of_symbols(rows)]
    return style.figure(
        "Speed against quality", data, note,
        xaxis=style.axis("decode, tokens/s", [value for value, _ in valued(rows, x)]),
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
        xaxis=style.axis("peak memory, MiB", [value for value, _ in valued(rows, memory_mib)]),
        yaxis=style.axis("decode, tokens/s", [value for value, _ in valued(rows, decode)]),
    )  # fmt: skip


def _scaled(axis: Axis, factor: float) -> Axis:
    return lambda row: None if (value := axis(row)) is None else factor * value


def _front(rows: list[Row], x: Axis, y: Axis, shape: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": "not beaten in both", "hoverinfo": "skip",
        "x": [x(row) for row in rows], "y": [y(row) for row in rows],
        "line": {"color": "#8b93a5", "width": 2, "dash": "dot", "shape": shape},
    }  # fmt: skip


def _points(summary: dict[str, Any], rows: list[Row], x: Axis, y: Axis, error_key: str) -> list[dict[str, Any]]:
    """One trace per engine in its colour, a symbol per precision, error bars of the decode speed."""
    names = dict(zip(map(id, rows), style.names(rows), strict=True))
    traces: list[dict[str, Any]] = []
    for engine, colour in style.colours(summary).items():
        engine_rows = [row for row in rows if row["engine"] == engine]
        if not engine_rows:
            continue
        traces.append({
            "type": "scatter", "mode": "markers", "name": style.plain(engine_rows[0]["title"]),
            "x": [x(row) for row in engine_rows], "y": [y(row) for row in engine_rows],
            "marker": {"color": colour, "size": 11, "symbol": [style.symbol(row["precision"]) for row in engine_rows],
                       "line": {"width": 1, "color": "rgba(127,127,127,0.6)"}},
            error_key: {**style.error([row["decode_tps"] for row in engine_rows]), "color": colour},
            "hoverinfo": "text", "hovertext": [_about(row, names[id(row)]) for row in engine_rows],
        })  # fmt: skip
    return traces


def _about(row: Row, name: str) -> str:
    quality = row["quality"] or {}
    agreement = f"top-1 {percent(top1(row), 2)}, KL {scientific(quality.get('kl'))}" if quality else None
    return f"<b>{name}</b><br>" + style.hover(
        f"{speed(row)} tokens/s", agreement, f"{number(memory_mib(row))} MiB peak", ", ".join(row["flags"])
    )
