"""Selects a row under given limits: for each workload the pick, the rows indistinguishable from it, the Pareto set, and
why every other row was rejected. The result is plain data, which `selection_text` renders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.answers.choose.pareto import TRADED, axes_of, cost, pareto_set
from orchestrator.answers.compare.pairing import rows_of, side_by_side
from orchestrator.base import stats
from orchestrator.base.errors import UserError, unknown
from orchestrator.base.escape import first_line
from orchestrator.base.outcomes import Flag
from orchestrator.results.metrics.metric import Bound, Metric
from orchestrator.results.metrics.registry import METRICS, asked_for, launches, objectives
from orchestrator.results.row import Row, by_workload, notes, row_identity, row_names, workload_title

Check = dict[str, Any]  # of a row against one constraint: `_check` says what it holds


@dataclass(frozen=True)
class Constraint:
    """`option` ("--max-memory") limits `quantity`: from below where more is better, from above otherwise."""

    option: str
    quantity: Metric
    limit: Bound

    def met(self, value: float) -> bool:
        return value >= self.limit.value if self.quantity.more_is_better else value <= self.limit.value

    def described(self) -> dict[str, Any]:
        return {"option": self.option, "quantity": self.quantity.key, "limit": self.limit.value,
                "unit": self.quantity.unit, "asked": self.limit.asked, "asked_unit": self.limit.unit}  # fmt: skip


def choose(
    directories: list[Path],
    objective: str,
    constraints: list[Constraint],
    filters: dict[str, tuple[str, ...]] | None = None,
    workload: str | None = None,
) -> dict[str, Any]:
    """One answer per workload: {"schema", "objective", "constraints", "filters", "answers"}.

    `filters` keeps the rows whose device, precision or engine is listed. Raises UserError where there are no results,
    and where a filter or `workload` matches none of them.
    """
    rows = _rows(directories)
    filters = {key: names for key, names in (filters or {}).items() if names}
    _check_filters(rows, filters)
    groups = by_workload(rows)
    if workload is not None:
        groups = {key: group for key, group in groups.items() if key == workload}
        if not groups:
            choices = "; ".join(f"{key} ({workload_title(group[0])})" for key, group in _measured(rows).items())
            raise UserError(f"--workload {workload!r} is none of these results': {choices or 'no row has one'}")
    kept = {key: group for key, group in groups.items() if any(_passes(row, filters) for row in group)}
    if not kept:
        raise UserError(
            "no row has all of "
            + ", ".join(f"{key} {' or '.join(names)}" for key, names in filters.items())
            + ": ask for less with --device, --precision or --engines"
        )
    quantity = objectives()[objective]
    return {
        "schema": 1,
        "objective": {"name": objective, **quantity.as_json()},
        "constraints": [constraint.described() for constraint in constraints],
        "filters": {key: list(names) for key, names in filters.items()},
        "answers": [_answer(group, quantity, constraints, filters) for group in kept.values()],
    }


def _rows(directories: list[Path]) -> list[Row]:
    rows = [row for directory in directories for row in rows_of(directory)]
    if not rows:
        raise UserError(f"{', '.join(map(str, directories))}: no row; name a directory in which something was measured")
    return rows


def _measured(rows: list[Row]) -> dict[str, list[Row]]:
    return by_workload([row for row in rows if row["workload"]])


def _check_filters(rows: list[Row], filters: dict[str, tuple[str, ...]]) -> None:
    for key, wanted in filters.items():
        choices = sorted({str(row[key]) for row in rows})
        for name in wanted:
            if name not in choices:
                raise unknown(f"{key} in these results", name, choices)


def _passes(row: Row, filters: dict[str, tuple[str, ...]]) -> bool:
    return all(row[key] in names for key, names in filters.items())


def _answer(
    workload_rows: list[Row], objective: Metric, constraints: list[Constraint], filters: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    rows = [row for row in workload_rows if _passes(row, filters)]
    names = dict(zip(map(id, workload_rows), row_names(workload_rows), strict=True))

    def described(row: Row) -> dict[str, Any]:
        return {"name": names[id(row)], **row_identity(row), "launches": row["launches"], "flags": row["flags"],
                "notes": notes(row), "values": _values(row)}  # fmt: skip

    ok = [row for row in rows if row["outcome"] == "ok"]
    checked = [(row, [_check(row, constraint) for constraint in constraints]) for row in ok]
    missed = [(row, [check for check in checks if check["state"] != "met"]) for row, checks in checked]
    unmeasured = [row for row, misses in missed if not misses and objective.read(row).value is None]
    admissible = [row for row, misses in missed if not misses and objective.read(row).value is not None]
    admissible.sort(key=lambda row: _rank(objective, row))
    pick = admissible[0] if admissible else None
    axes, unknown_axes = axes_of(objective, admissible)
    front, unplaced = pareto_set(admissible, axes)
    shown = {id(row) for row in [*front, *unplaced]}
    straddling = [
        {"name": names[id(row)], **check} for row, checks in checked for check in checks if check["straddles"]
    ]
    return {
        "workload": next((row["workload"] for row in workload_rows if row["workload"]), None),
        "title": workload_title(workload_rows[0]),
        "rows": len(rows),
        "left_out": len(workload_rows) - len(rows),
        "admissible": len(admissible),
        "pick": described(pick) if pick else None,
        "alike": _alike(pick, admissible[1:], objective, names) if pick else [],
        "axes": [axis.key for axis in axes],
        "axes_unknown": [axis.key for axis in unknown_axes],
        "pareto": [described(row) for row in front],
        "dominated": [names[id(row)] for row in admissible if id(row) not in shown],
        "unplaced": [
            {"name": names[id(row)], "unknown": [axis.key for axis in axes if axis.read(row).value is None]}
            for row in unplaced
        ],
        "rejected": [
            *({**described(row), "misses": misses} for row, misses in missed if misses),
            *({**described(row), "misses": [_unknown_objective(row, objective)]} for row in unmeasured),
        ],
        "straddling": straddling,
        "excluded_by": _excluded_by(missed, constraints),
        "nearest": _nearest(missed, names),
        "not_ok": [
            {"name": names[id(row)], **row_identity(row), "outcome": row["outcome"],
             "reason": first_line(row["reason"])}
            for row in rows if row["outcome"] != "ok"
        ],
        "not_a_measurement": any(Flag.NOT_A_MEASUREMENT in row["flags"] for row in ok),
    }  # fmt: skip


def _values(row: Row) -> dict[str, dict[str, Any]]:
    """Every metric that a question can name, in its canonical unit; an unknown value is None, with the reason."""
    readings = {metric.key: metric.read(row) for metric in asked_for()}
    return {
        key: {"value": reading.value, "low": reading.low, "high": reading.high, "why_unknown": reading.why}
        for key, reading in readings.items()
    }


def _check(row: Row, constraint: Constraint) -> Check:
    """`state` is met, missed or unknown; `by` is the distance beyond the limit, which the interval may straddle."""
    reading, limit = constraint.quantity.read(row), constraint.limit.value
    value, low, high = reading.value, reading.low, reading.high
    met = value is not None and constraint.met(value)
    return {
        "option": constraint.option,
        "quantity": constraint.quantity.key,
        "state": "met" if met else "unknown" if value is None else "missed",
        "value": value,
        "low": low,
        "high": high,
        "limit": limit,
        "asked": constraint.limit.asked,
        "asked_unit": constraint.limit.unit,
        "by": None if met or value is None else abs(value - limit),
        "straddles": low is not None and high is not None and constraint.met(low) != constraint.met(high),
        "why_unknown": reading.why,
    }


def _unknown_objective(row: Row, objective: Metric) -> Check:
    return {"option": "--objective", "quantity": objective.key, "state": "unknown", "value": None, "low": None,
            "high": None, "limit": None, "asked": None, "asked_unit": None, "by": None, "straddles": False,
            "why_unknown": objective.read(row).why}  # fmt: skip


def _rank(objective: Metric, row: Row) -> tuple[float, ...]:
    """Sort key: the objective, then quality, memory and speed to break ties; unknown values sort last."""
    values = [(metric, metric.read(row).value) for metric in (objective, *(METRICS[key] for key in TRADED))]
    return tuple(math.inf if value is None else cost(metric, value) for metric, value in values)


# -- rows indistinguishable from the pick ------------------------------------------------------------------------------


def _alike(pick: Row, others: list[Row], objective: Metric, names: dict[int, str]) -> list[dict[str, Any]]:
    """The other admissible rows that are not shown to be worse than the pick, each with the reason."""
    alike = []
    for row in others:
        why = _why_alike(pick, row, objective)
        if why:
            alike.append({"name": names[id(row)], **row_identity(row), "why": why, "value": objective.read(row).value})
    return alike


def _why_alike(pick: Row, row: Row, objective: Metric) -> str | None:
    """Why the pick is not shown to be better than `row`; None where it is.

    Rows measured side by side are compared block by block, as in the report, so that the machine's drift cancels;
    other rows by whether their intervals overlap.
    """
    ours, theirs = objective.read(pick), objective.read(row)
    if ours.value == theirs.value:
        return "the figures are equal"
    if objective.key in ("kl", "top1"):
        return None  # measured once, on the same text: there is no spread
    if side_by_side(pick, row):
        pick_launches, row_launches = launches(pick, objective), launches(row, objective)
        blocks = sorted(pick_launches.keys() & row_launches.keys())
        if len(blocks) >= stats.MIN_LAUNCHES:
            ratio = stats.paired([pick_launches[b] for b in blocks], [row_launches[b] for b in blocks])
            if ratio.verdict == ("faster" if objective.more_is_better else "slower"):
                return None
            return f"{ratio.verdict}: {ratio.ratio:.3f} times its value {ratio.bounds}, block by block"
    if ours.low is None or ours.high is None or theirs.low is None or theirs.high is None:
        fewest = min(pick["launches"], row["launches"])
        if fewest < stats.MIN_LAUNCHES:
            return f"cannot tell: {fewest} launch{'es' if fewest != 1 else ''}, five are needed"
        return "cannot tell: the launches' own values are not in these results"
    if ours.low <= theirs.high and theirs.low <= ours.high:
        return "the intervals overlap"
    return None


# -- what excluded the rows --------------------------------------------------------------------------------------------


def _excluded_by(missed: list[tuple[Row, list[Check]]], constraints: list[Constraint]) -> list[dict[str, Any]]:
    """Counts per constraint: rows that miss it, rows of unknown value, and rows that only this one excludes."""
    counts = []
    for constraint in constraints:
        excluded = [misses for _, misses in missed if any(miss["option"] == constraint.option for miss in misses)]
        states = [miss["state"] for misses in excluded for miss in misses if miss["option"] == constraint.option]
        counts.append({
            "option": constraint.option, "asked": constraint.limit.asked, "missed": states.count("missed"),
            "unknown": states.count("unknown"), "alone": sum(len(misses) == 1 for misses in excluded),
        })  # fmt: skip
    return counts


def _nearest(missed: list[tuple[Row, list[Check]]], names: dict[int, str]) -> dict[str, Any] | None:
    """The rejected row closest to the limits: fewest unknown values, then fewest misses, then the smallest miss.

    The size of a miss is relative to its limit. None where a row meets every constraint.
    """
    rejected = [(row, misses) for row, misses in missed if misses]
    if not rejected or len(rejected) < len(missed):
        return None

    def distance(misses: list[Check]) -> tuple[int, int, float]:
        beyond = [miss for miss in misses if miss["state"] == "missed"]
        relative = [miss["by"] / miss["limit"] if miss["limit"] else math.inf for miss in beyond]
        return len(misses) - len(beyond), len(beyond), sum(relative)

    row, misses = min(rejected, key=lambda rejection: distance(rejection[1]))
    return {"name": names[id(row)], **row_identity(row), "misses": misses}
