"""The rows that no other row beats on every axis, and what is an axis."""

from __future__ import annotations

from orchestrator.results.metrics.metric import Metric
from orchestrator.results.metrics.registry import METRICS
from orchestrator.results.row import Row

TRADED = ("kl", "memory", "decode_tps")  # quality, memory, speed: what is given up for the objective
SPEEDS = ("decode_tps", "e2e_tps")  # one speed is one axis


def cost(quantity: Metric, value: float) -> float:
    """Smaller is better, whatever the quantity."""
    return -value if quantity.more_is_better else value


def axes_of(objective: Metric, rows: list[Row]) -> tuple[list[Metric], list[Metric]]:
    """(axes, those left out because no row knows them): the objective against quality, memory and speed."""
    traded = [key for key in TRADED if key != objective.key and not (key in SPEEDS and objective.key in SPEEDS)]
    wanted = [objective, *(METRICS[key] for key in traded)]
    known = [each for each in wanted if any(each.read(row).value is not None for row in rows)]
    return known, [each for each in wanted if each not in known] if rows else []


def pareto_set(rows: list[Row], axes: list[Metric]) -> tuple[list[Row], list[Row]]:
    """(rows that no other beats on every axis, rows that cannot be placed since an axis is unknown), by medians."""
    values = [[axis.read(row).value for axis in axes] for row in rows]
    unplaced = [row for row, known in zip(rows, values, strict=True) if None in known]
    placed = [
        ([cost(axis, value) for axis, value in zip(axes, known, strict=True) if value is not None], row)
        for row, known in zip(rows, values, strict=True)
        if None not in known
    ]
    front: list[tuple[list[float], Row]] = []
    for costs, row in sorted(placed, key=lambda place: place[0]):  # whoever dominates a row comes before it
        if not any(_dominates(other, costs) for other, _ in front):
            front.append((costs, row))
    return [row for _, row in front], unplaced


def _dominates(ours: list[float], theirs: list[float]) -> bool:
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs
