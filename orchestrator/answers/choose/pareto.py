"""The Pareto set of some rows, and the axes it is taken over."""

from __future__ import annotations

from orchestrator.results.metrics.metric import Metric
from orchestrator.results.metrics.registry import METRICS
from orchestrator.results.row import Row

TRADED = ("kl", "memory", "decode_tps")  # quality, memory and speed, which are traded for the objective
SPEEDS = ("decode_tps", "e2e_tps")  # only one of them is an axis


def cost(quantity: Metric, value: float) -> float:
    """The value with its sign such that smaller is better."""
    return -value if quantity.more_is_better else value


def axes_of(objective: Metric, rows: list[Row]) -> tuple[list[Metric], list[Metric]]:
    """(axes, wanted axes that no row has a value for): the objective against quality, memory and speed."""
    traded = [key for key in TRADED if key != objective.key and not (key in SPEEDS and objective.key in SPEEDS)]
    wanted = [objective, *(METRICS[key] for key in traded)]
    axes = [metric for metric in wanted if any(metric.read(row).value is not None for row in rows)]
    return axes, [metric for metric in wanted if metric not in axes] if rows else []


def pareto_set(rows: list[Row], axes: list[Metric]) -> tuple[list[Row], list[Row]]:
    """(rows that no other dominates, rows with an unknown value on some axis), by medians."""
    points = [(row, [axis.read(row).value for axis in axes]) for row in rows]
    unplaced = [row for row, values in points if None in values]
    placed = [
        ([cost(axis, value) for axis, value in zip(axes, values, strict=True) if value is not None], row)
        for row, values in points
        if None not in values
    ]
    front: list[tuple[list[float], Row]] = []
    for costs, row in sorted(placed, key=lambda point: point[0]):  # a row sorts after every row that dominates it
        if not any(_dominates(other, costs) for other, _ in front):
            front.append((costs, row))
    return [row for _, row in front], unplaced


def _dominates(ours: list[float], theirs: list[float]) -> bool:
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs
