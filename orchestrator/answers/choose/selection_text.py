"""The result of `choose` for a terminal: at most 100 columns."""

from __future__ import annotations

import textwrap
from typing import Any

from orchestrator.base.escape import one_line
from orchestrator.base.terminal import WIDTH, grid
from orchestrator.results.metrics.metric import Metric
from orchestrator.results.metrics.registry import METRICS

NAMED = 20  # at most so many rows are listed by name
SIGNS = {"more": "at least", "less": "at most"}
QUICK = "warning: the quick profile is not a measurement: use --profile standard for a choice to rely on"


def render(selection: dict[str, Any]) -> str:
    """All answers, one per workload."""
    parts = [_question(selection)]
    count = len(selection["answers"])
    if count > 1:
        parts.append(
            f"{count} workloads, an answer for each: rows that did different work are never compared. "
            "--workload HASH asks for one."
        )
    objective = METRICS[selection["objective"]["key"]]
    parts += [_answer(answer, objective) for answer in selection["answers"]]
    return "\n\n".join(_wrapped(part) for part in parts)


def _wrapped(part: str) -> str:
    """Wraps prose at the terminal's width and keeps its indent; tables are narrow enough already."""
    return "\n".join(
        line if len(line) <= WIDTH else textwrap.fill(
            line, WIDTH, subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2), break_on_hyphens=False
        )
        for line in part.splitlines()
    )  # fmt: skip


def _question(selection: dict[str, Any]) -> str:
    objective = selection["objective"]
    best = "highest" if objective["better"] == "more" else "lowest"
    unit = f" [{objective['unit']}]" if objective["unit"] != "share" else ""
    text = f"asked for: the {best} {objective['title']}{unit}: {objective['meaning']}"
    for constraint in selection["constraints"]:
        quantity = METRICS[constraint["quantity"]]
        sign = SIGNS["more" if quantity.more_is_better else "less"]
        text += f"\n  {sign} {constraint['asked']} {quantity.title}: {quantity.meaning}"
    for key, names in selection["filters"].items():
        text += f"\n  only {key} {', '.join(one_line(name, 60) for name in names)}"
    return text


def _answer(answer: dict[str, Any], objective: Metric) -> str:
    workload = f" (workload {answer['workload']})" if answer["workload"] else ""
    parts = [f"{one_line(answer['title'], 70)}{workload}"]
    if answer["not_a_measurement"]:
        parts.append(QUICK)
    parts.append(_pick(answer, objective) if answer["pick"] else _nothing(answer))
    if answer["left_out"]:
        parts.append(f"left out, not asked for: {answer['left_out']} rows")
    if answer["pareto"]:
        parts.append(_pareto(answer))
    if answer["straddling"]:
        parts.append("\n".join(["the interval straddles the limit:", *map(_straddle, answer["straddling"])]))
    if answer["rejected"]:
        rows = [[one_line(row["name"], 100), "\n".join(map(_miss, row["misses"]))] for row in answer["rejected"]]
        parts.append(grid(["rejected", "because"], rows))
    if answer["not_ok"]:
        rows = [
            [one_line(row["name"], 100), f"{row['outcome']}: {one_line(row['reason'], 160)}".rstrip(": ")]
            for row in answer["not_ok"]
        ]
        parts.append(grid(["no figure", "because"], rows))
    return "\n\n".join(parts)


def _pick(answer: dict[str, Any], objective: Metric) -> str:
    pick = answer["pick"]
    lines = [f"pick: {one_line(pick['name'], 120)}: {_figure(pick['values'], objective.key)}"]
    others = [key for key in ("decode_tps", "ttft", "memory", "kl", "top1", "energy") if key != objective.key]
    lines.append("  " + ", ".join(f"{METRICS[key].title} {_short(pick['values'], key)}" for key in others))
    if pick["notes"]:
        lines.append(f"  note: {one_line(pick['notes'], 400)}")
    for row in answer["alike"][:NAMED]:
        figure = objective.written(row["value"])
        lines.append(f"  cannot tell apart from {one_line(row['name'], 100)} at {figure} ({row['why']})")
    if len(answer["alike"]) > NAMED:
        lines.append(f"  nor from {len(answer['alike']) - NAMED} more: --format json lists them")
    if answer["admissible"] > 1 and not answer["alike"]:
        lines.append("  better than every other row that meets the limits")
        if objective.key == "kl":
            lines[-1] += ": one examination a row, on the same text, so that no interval is known"
    return "\n".join(lines)


def _nothing(answer: dict[str, Any]) -> str:
    if not answer["rejected"]:
        return "no pick: no row has a figure"
    if not answer["excluded_by"]:
        return "no pick: the objective is unknown for every row"
    lines = ["no pick: nothing meets the constraints"]
    for count in answer["excluded_by"]:
        unknown = f", {count['unknown']} of unknown value" if count["unknown"] else ""
        lines.append(
            f"  {count['option']} {count['asked']} excludes {count['missed'] + count['unknown']}{unknown}; "
            f"without it {count['alone']} would remain"
        )
    nearest = answer["nearest"]
    if nearest:
        missed = "; ".join(map(_miss, nearest["misses"]))
        lines.append(f"  nearest miss: {one_line(nearest['name'], 100)}: {missed}")
    return "\n".join(lines)


def _pareto(answer: dict[str, Any]) -> str:
    axes = [METRICS[key] for key in answer["axes"]]
    best = [f"{axis.title} ({'more' if axis.more_is_better else 'less'})" for axis in axes]
    lines = [f"Pareto set, by medians: no other row is better in one of these without being worse in another: "
             f"{', '.join(best)}"]  # fmt: skip
    if answer["axes_unknown"]:
        titles = ", ".join(METRICS[key].title for key in answer["axes_unknown"])
        lines.append(f"not an axis, since no row here knows it: {titles}")
    pick = answer["pick"]["name"]
    rows = [
        [">" if row["name"] == pick else "", one_line(row["name"], 100),
         *(_figure(row["values"], axis.key) for axis in axes)]
        for row in answer["pareto"]
    ]  # fmt: skip
    table = grid(["", "row", *(axis.title for axis in axes)], rows)
    remarks = []
    if answer["dominated"]:
        remarks.append(f"  dominated: {', '.join(one_line(name, 100) for name in answer['dominated'][:NAMED])}")
    if len(answer["dominated"]) > NAMED:
        remarks[0] += f" and {len(answer['dominated']) - NAMED} more: --format json lists them"
    remarks += [
        f"  not placed: {one_line(row['name'], 100)} ({', '.join(METRICS[key].title for key in row['unknown'])} "
        "unknown)"
        for row in answer["unplaced"]
    ]
    return "\n".join([*lines, table, *remarks])


def _figure(values: dict[str, dict[str, Any]], key: str) -> str:
    """The value and its interval in one unit: "104 tokens/s [97.1, 114]"."""
    quantity, value = METRICS[key], values[key]
    if value["low"] is None:
        return quantity.written(value["value"])
    unit = quantity.default_unit(value["value"])
    ends = ", ".join(quantity.written(value[end], unit).split(" ")[0] for end in ("low", "high"))
    return f"{quantity.written(value['value'], unit)} [{ends}]"


def _short(values: dict[str, dict[str, Any]], key: str) -> str:
    return METRICS[key].written(values[key]["value"])


def _miss(miss: dict[str, Any]) -> str:
    quantity = METRICS[miss["quantity"]]
    if miss["state"] == "unknown":
        return f"{quantity.title} unknown: {one_line(miss['why_unknown'], 120)}"
    unit = miss["asked_unit"]
    side = "below" if quantity.more_is_better else "over"
    beyond = f"{quantity.written(miss['by'], unit, 3)} {side} {miss['asked']}"
    return f"{quantity.title} {quantity.written(miss['value'], unit)}: {beyond}"


def _straddle(check: dict[str, Any]) -> str:
    quantity = METRICS[check["quantity"]]
    ends = ", ".join(quantity.written(check[end], check["asked_unit"]) for end in ("low", "high"))
    interval = f"{one_line(check['name'], 100)}: {quantity.title} [{ends}]"
    return f"  {interval}: {check['option']} {check['asked']} is {check['state']} by the figure itself"
