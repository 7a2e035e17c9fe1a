"""Which row to take under given limits: for each workload the pick, what cannot be told apart from it, the Pareto set,
and why every other row was rejected. The result is plain data; `choose_text` writes it."""

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


@dataclass(frozen=True)
class Constraint:
    """`option` ("--max-memory") bounds `quantity` by `limit`, from above unless more of it is better."""

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
    """The answers, one a workload: {"objective", "constraints", "filters", "answers"}.

    `filters` keeps only rows whose device, precision or engine is named. Raises UserError where there are no results,
    where a filter or `workload` names what none of them has.
    """
    rows = _rows(directories)
    filters = {key: names for key, names in (filters or {}).items() if names}
    _check_filters(rows, filters)
    groups = by_workload(rows)
    if workload is not None:
        groups = {key: group for key, group in groups.items() if key == workload}
        if not groups:
            known = "; ".join(f"{key} ({workload_title(group[0])})" for key, group in _measured(rows).items())
            raise UserError(f"--workload {workload!r} is none of these results': {known or 'no row has one'}")
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
        "constraints": [each.described() for each in constraints],
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
        known = sorted({str(row[key]) for row in rows})
        for name in wanted:
            if name not in known:
                raise unknown(f"{key} in these results", name, known)


def _passes(row: Row, filters: dict[str, tuple[str, ...]]) -> bool:
    return all(row[key] in names for key, names in filters.items())


def _answer(every: list[Row], objective: Metric, constraints: list[Constraint], filters: dict) -> dict[str, Any]:
    rows = [row for row in every if _passes(row, filters)]
    named = dict(zip(map(id, every), row_names(every), strict=True))

    def described(row: Row) -> dict[str, Any]:
        return {"name": named[id(row)], **row_identity(row), "launches": row["launches"], "flags": row["flags"],
                "notes": notes(row), "values": _values(row)}  # fmt: skip

    ok = [row for row in rows if row["outcome"] == "ok"]
    judged = [(row, [_judge(row, each) for each in constraints]) for row in ok]
    misses = [(row, [each for each in found if each["state"] != "met"]) for row, found in judged]
    unmeasured = [row for row, found in misses if not found and objective.read(row).value is None]
    able = [row for row, found in misses if not found and objective.read(row).value is not None]
    able.sort(key=lambda row: _rank(objective, row))
    pick = able[0] if able else None
    axes, lacking = axes_of(objective, able)
    front, unplaced = pareto_set(able, axes)
    shown = {id(row) for row in [*front, *unplaced]}
    straddling = [
        {"name": named[id(row)], **each} for row, found in judged for each in found if each["straddles"]
    ]  # fmt: skip
    return {
        "workload": next((row["workload"] for row in every if row["workload"]), None),
        "title": workload_title(every[0]),
        "rows": len(rows),
        "left_out": len(every) - len(rows),
        "admissible": len(able),
        "pick": described(pick) if pick else None,
        "alike": _alike(pick, able[1:], objective, named) if pick else [],
        "axes": [each.key for each in axes],
        "axes_unknown": [each.key for each in lacking],
        "pareto": [described(row) for row in front],
        "dominated": [named[id(row)] for row in able if id(row) not in shown],
        "unplaced": [
            {"name": named[id(row)], "unknown": [each.key for each in axes if each.read(row).value is None]}
            for row in unplaced
        ],
        "rejected": [
            *({**described(row), "misses": found} for row, found in misses if found),
            *({**described(row), "misses": [_unknown_objective(row, objective)]} for row in unmeasured),
        ],
        "straddling": straddling,
        "excluded_by": _excluded_by(misses, constraints),
        "nearest": _nearest(misses, named),
        "not_ok": [
            {"name": named[id(row)], **row_identity(row), "outcome": row["outcome"],
             "reason": first_line(row["reason"])}
            for row in rows if row["outcome"] != "ok"
        ],
        "not_a_measurement": any(Flag.NOT_A_MEASUREMENT in row["flags"] for row in ok),
    }  # fmt: skip


def _values(row: Row) -> dict[str, dict[str, Any]]:
    """Every metric that a question can name, in its canonical unit; unknown is null, with the reason."""
    found = {metric.key: metric.read(row) for metric in asked_for()}
    return {
        key: {"value": each.value, "low": each.low, "high": each.high, "why_unknown": each.why}
        for key, each in found.items()
    }


def _judge(row: Row, constraint: Constraint) -> dict[str, Any]:
    """`state` is met, missed or unknown, `by` how far beyond the limit; the interval may straddle the limit."""
    reading, limit = constraint.quantity.read(row), constraint.limit.value
    known = reading.value is not None
    met = known and constraint.met(reading.value)
    return {
        "option": constraint.option,
        "quantity": constraint.quantity.key,
        "state": "met" if met else "missed" if known else "unknown",
        "value": reading.value,
        "low": reading.low,
        "high": reading.high,
        "limit": limit,
        "asked": constraint.limit.asked,
        "asked_unit": constraint.limit.unit,
        "by": abs(reading.value - limit) if known and not met else None,
        "straddles": reading.low is not None and constraint.met(reading.low) != constraint.met(reading.high),
        "why_unknown": reading.why,
    }


def _unknown_objective(row: Row, objective: Metric) -> dict[str, Any]:
    return {"option": "--objective", "quantity": objective.key, "state": "unknown", "value": None, "low": None,
            "high": None, "limit": None, "asked": None, "asked_unit": None, "by": None, "straddles": False,
            "why_unknown": objective.read(row).why}  # fmt: skip


def _rank(objective: Metric, row: Row) -> tuple[float, ...]:
    """By the objective; rows of the same figure by quality, memory and speed."""
    readings = [(each, each.read(row).value) for each in (objective, *(METRICS[key] for key in TRADED))]
    return tuple(math.inf if value is None else cost(quantity, value) for quantity, value in readings)


# -- what cannot be told apart from the pick ---------------------------------------------------------------------------


def _alike(pick: Row, others: list[Row], objective: Metric, named: dict[int, str]) -> list[dict[str, Any]]:
    """The other admissible rows that are not shown to be worse than the pick, each with the reason."""
    found = []
    for row in others:
        why = _not_apart(pick, row, objective)
        if why:
            found.append({"name": named[id(row)], **row_identity(row), "why": why,
                          "value": objective.read(row).value})  # fmt: skip
    return found


def _not_apart(pick: Row, row: Row, objective: Metric) -> str | None:
    """Why the pick is not shown to be better than `row`; None where it is.

    Rows measured side by side are compared block by block, which cancels the machine's drift, as the report does;
    others by whether their intervals overlap.
    """
    ours, theirs = objective.read(pick), objective.read(row)
    if ours.value == theirs.value:
        return "the figures are equal"
    if objective.key in ("kl", "top1"):
        return None  # one examination on the same text: a figure without a spread
    if side_by_side(pick, row):
        own, other = launches(pick, objective), launches(row, objective)
        blocks = sorted(own.keys() & other.keys())
        if len(blocks) >= stats.MIN_LAUNCHES:
            found = stats.paired([own[b] for b in blocks], [other[b] for b in blocks])
            if found.verdict == ("faster" if objective.more_is_better else "slower"):
                return None
            return f"{found.verdict}: {found.ratio:.3f} times its value {found.bounds}, block by block"
    if ours.low is None or theirs.low is None:
        fewest = min(pick["launches"], row["launches"])
        if fewest < stats.MIN_LAUNCHES:
            return f"cannot tell: {fewest} launch{'es' if fewest != 1 else ''}, five are needed"
        return "cannot tell: the launches' own values are not in these results"
    if ours.low <= theirs.high and theirs.low <= ours.high:
        return "the intervals overlap"
    return None


# -- when little or nothing is left ------------------------------------------------------------------------------------


def _excluded_by(misses: list[tuple[Row, list[dict]]], constraints: list[Constraint]) -> list[dict[str, Any]]:
    """For each constraint: rows that miss it, rows of unknown value, and rows that it alone keeps out."""
    lines = []
    for each in constraints:
        hit = [found for _, found in misses if any(miss["option"] == each.option for miss in found)]
        states = [miss["state"] for found in hit for miss in found if miss["option"] == each.option]
        lines.append({
            "option": each.option, "asked": each.limit.asked, "missed": states.count("missed"),
            "unknown": states.count("unknown"), "alone": sum(len(found) == 1 for found in hit),
        })  # fmt: skip
    return lines


def _nearest(misses: list[tuple[Row, list[dict]]], named: dict[int, str]) -> dict[str, Any] | None:
    """The rejected row that is nearest to the limits: fewest unknown values, then fewest misses, then the smallest.

    The size of a miss is relative to its limit.
    """
    rejected = [(row, found) for row, found in misses if found]
    if not rejected or len(rejected) < len(misses):  # something meets the constraints
        return None

    def distance(found: list[dict]) -> tuple[int, int, float]:
        missed = [miss for miss in found if miss["state"] == "missed"]
        relative = [miss["by"] / miss["limit"] if miss["limit"] else math.inf for miss in missed]
        return len(found) - len(missed), len(missed), sum(relative)

    row, found = min(rejected, key=lambda each: distance(each[1]))
    return {"name": named[id(row)], **row_identity(row), "misses": found}
