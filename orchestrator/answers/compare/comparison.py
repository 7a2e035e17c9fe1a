"""Is it faster than before? Two sets of rows, row by row: ratio, interval and verdict. The result is plain data, which
`comparison_text` renders.

Rows of one run are paired by block. Rows of two runs need an anchor instead: a row of the same software in both, by
which each launch is divided, so that the machine's drift cancels. `--no-anchor` takes the plain ratio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.answers.compare.anchors import Anchor, Anchors, relative
from orchestrator.answers.compare.pairing import Pair, Selector, pairs, rows_of, selected, two_versions
from orchestrator.base import stats
from orchestrator.base.errors import UserError
from orchestrator.base.escape import first_line
from orchestrator.base.outcomes import OUTCOMES, Flag, Outcome
from orchestrator.base.stats import Interval
from orchestrator.results.metrics.metric import Metric
from orchestrator.results.metrics.registry import METRICS, launches
from orchestrator.results.row import Row, row_identity, row_names, workload_title

NOT_COMPARABLE, CANNOT_TELL = "not comparable", "cannot tell"
UNANCHORED = "launches of two runs, without an anchor"
NO_ANCHOR, TOO_WIDE = "no anchor", "the interval is too wide"


@dataclass(frozen=True)
class Question:
    """What to compare. A loss by more than the share `threshold` (0.05) is a regression; None: no loss is."""

    metric: str = "decode_tps"
    before: str | None = None
    after: str | None = None
    anchor: str | None = None
    no_anchor: bool = False
    threshold: float | None = None


def compare(directories: list[Path], question: Question, barred: Collection[str] = ()) -> dict[str, Any]:
    """Every row of one or two directories with its verdict. `barred` engines are no anchors unless named.

    Raises UserError for other than one or two different directories, for one without results, and where no row matches
    what the question names.
    """
    all_before, all_after, before, after = _sides(directories, question)
    matches = pairs(before, after, _ignoring(question))
    if not any(pair.before and pair.after for pair in matches):
        trouble = next((pair.trouble for pair in matches if pair.trouble), None)
        if trouble:
            raise UserError(f"nothing to compare: {trouble} as ENGINE:VARIANT@VERSION, or name two directories")
        raise UserError(
            f"nothing to compare: no engine and variant stands in both ({_names(before)} before, {_names(after)} "
            "after); --before and --after ENGINE[:VARIANT] compare rows of different names"
        )
    quantity = METRICS[question.metric]
    anchors = None
    if quantity.drifts and not question.no_anchor and not all(p.side_by_side for p in matches if p.comparable):
        named = Selector.parse(question.anchor) if question.anchor else None
        anchors = Anchors(matches, all_before, all_after, quantity, named, barred)
    elif question.anchor and not question.no_anchor:
        _refuse_needless_anchor(quantity)
    rows = [_judge(pair, quantity, anchors, question) for pair in matches]
    for row, pair, name in zip(rows, matches, row_names([pair.either for pair in matches]), strict=True):
        row["name"] = _pair_name(pair, name)
    return {
        "schema": 1,
        "metric": quantity.as_json(),
        "before": _described(before),
        "after": _described(after),
        "threshold": question.threshold,
        "anchors": _used_anchors(matches, anchors),
        "rows": rows,
        "counts": dict(Counter(row["verdict"] for row in rows if row["method"] != "is the anchor")),
        "regressions": [row["name"] for row in rows if row["regression"]],
        "possible_regressions": [row["name"] for row in rows if row["possible_regression"]],
        "not_a_measurement": any(Flag.NOT_A_MEASUREMENT in row["flags"] for row in [*before, *after]),
    }


def _sides(directories: list[Path], question: Question) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """(all rows before, all after, those compared before, those compared after)."""
    if len(directories) not in (1, 2):
        raise UserError(f"compare takes one or two results directories, not {len(directories)}; `choose` takes many")
    first, last = Selector.parse(question.before) if question.before else None, None
    if question.after:
        last = Selector.parse(question.after)
    if len({directory.resolve() for directory in directories}) < len(directories):
        raise UserError(
            f"{directories[0]} is given twice: name it once, with --before and --after ENGINE[:VARIANT][@VERSION]"
        )
    if len(directories) == 2:
        before, after = (rows_of(directory) for directory in directories)
        return before, after, selected(before, first, str(directories[0])), selected(after, last, str(directories[1]))
    rows = rows_of(directories[0])
    if first is None and last is None:
        return rows, rows, *two_versions(rows)
    if first is None or last is None or first == last:
        raise UserError("one directory needs two different rows: give --before and --after")
    return rows, rows, selected(rows, first, str(directories[0])), selected(rows, last, str(directories[0]))


def _ignoring(question: Question) -> tuple[str, ...]:
    """The keys in which the two named rows may differ, since the question is about that difference."""
    if not question.before or not question.after:
        return ()
    before, after = Selector.parse(question.before), Selector.parse(question.after)
    keys = ("engine",) if before.engine != after.engine else ()
    return (*keys, "variant", "precision") if before.variant and after.variant else keys


def _refuse_needless_anchor(quantity: Metric) -> None:
    why = "measured side by side" if quantity.drifts else f"not needed: {quantity.title} does not drift"
    raise UserError(f"--anchor: {why}, the rows need no anchor; leave --anchor away")


def _names(rows: list[Row]) -> str:
    names = sorted({f"{row['engine']}:{row['variant']}" for row in rows})
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "") or "no row"


def _pair_name(pair: Pair, name: str) -> str:
    """`name`, that of the row after; both names where the row before has another: "Engine q4 → Engine q8"."""
    if pair.before is None or pair.after is None:
        return name
    same = all(pair.before[key] == pair.after[key] for key in ("engine", "variant"))
    return name if same else f"{pair.before['title']} {pair.before['variant']} → {name}"


def _described(rows: list[Row]) -> dict[str, Any]:
    def values(key: str) -> list[Any]:
        return list(dict.fromkeys(row.get(key) for row in rows))

    return {"directory": rows[0]["given"], "sources": values("source"), "machines": values("machine"),
            "versions": values("engine_version")}  # fmt: skip


def _judge(pair: Pair, quantity: Metric, anchors: Anchors | None, question: Question) -> dict[str, Any]:
    """A row of the result: the plain ratio after / before, the ratio against an anchor, if any, and the verdict."""
    row: dict[str, Any] = {
        "name": None,
        "title": workload_title(pair.either),
        "workload": pair.either["workload"],
        "before": _side(pair.before, quantity),
        "after": _side(pair.after, quantity),
        "ratio": None,
        "against_anchor": None,
        "anchor": None,
        "method": None,
        "verdict": NOT_COMPARABLE,
        "why": None,
        "differing": pair.differences(),
        "same_software": bool(pair.before and pair.after and pair.same_software),
        "lost": _is_lost(pair),
        "regression": False,
        "possible_regression": False,
    }
    if not pair.comparable:
        row["why"] = _why_not_comparable(pair)
        row["regression"] = row["lost"] and question.threshold is not None
        return row
    values = [quantity.read(side).value for side in pair.both]
    if None in values:
        row["verdict"], row["why"] = CANNOT_TELL, f"{quantity.title} is unknown for {_which(values)}"
        return row
    row.update(_statistics(pair, quantity, anchors, question))
    if question.threshold is not None and row["method"] != "is the anchor":
        _set_regression(row, quantity, question.threshold)
    return row


def _is_lost(pair: Pair) -> bool:
    """Whether a row that was ok now fails through the engine's own fault."""
    if pair.before is None or pair.after is None or pair.before["outcome"] != Outcome.OK:
        return False
    return OUTCOMES[pair.after["outcome"]].is_loss


def _statistics(pair: Pair, quantity: Metric, anchors: Anchors | None, question: Question) -> dict[str, Any]:
    before, after = (launches(row, quantity) for row in pair.both)
    if pair.side_by_side:
        blocks = sorted(before.keys() & after.keys())
        paired = stats.paired([after[b] for b in blocks], [before[b] for b in blocks])
        return {"method": "block by block", **_verdict(paired, quantity, (len(blocks), len(blocks)), "ratio", pair)}
    plain = stats.unpaired(list(after.values()), list(before.values()))
    counts = len(before), len(after)
    if anchors is None:
        method = UNANCHORED if quantity.drifts else "launches of two runs"
        return {"method": method, **_verdict(plain, quantity, counts, "ratio", pair)}
    anchor = anchors.find(pair)
    ratio = _ratio(plain, pair, quantity)
    if anchor is None:
        return {"method": UNANCHORED, "ratio": ratio, "verdict": CANNOT_TELL, "why": NO_ANCHOR}
    if anchor.pair == pair:
        why = "it is the anchor: the others are measured against it"
        return {"method": "is the anchor", "ratio": ratio, "verdict": CANNOT_TELL, "why": why}
    anchored, counts = relative(pair, anchor, quantity)
    verdict = _verdict(anchored, quantity, counts, "against_anchor", pair)
    return {"method": "against the anchor", **verdict, "ratio": ratio, "anchor": _name(anchor)}


def _verdict(interval: Interval, quantity: Metric, counts: tuple[int, int], key: str, pair: Pair) -> dict[str, Any]:
    """{key: the interval, "verdict": in the quantity's own words, "why": where it cannot tell}. `counts`: launches."""
    better, worse = quantity.words if quantity.more_is_better else quantity.words[::-1]
    word = {"faster": better, "slower": worse}.get(interval.verdict, interval.verdict)
    why = None
    if word == CANNOT_TELL:
        why = TOO_WIDE
        if min(counts) < stats.MIN_LAUNCHES:
            why = f"{counts[0]} launches before, {counts[1]} after: five are needed of each"
            if key == "against_anchor":
                why += ", in the same blocks as the anchor's"
            if not min(counts):
                why = "the launches' own values are not in these results: `report DIR` makes them anew from a journal"
    ratio = _ratio(interval, pair, quantity) if key == "ratio" else _as_json(interval)
    return {key: ratio, "verdict": word, "why": why}


def _ratio(interval: Interval, pair: Pair, quantity: Metric) -> dict[str, Any] | None:
    """The launches' ratio; without launches' values that of the rows' medians, which has no interval."""
    if interval.ratio is None:
        before, after = (quantity.read(side).value for side in pair.both)
        interval = Interval(after / before if before and after is not None else None)
    return _as_json(interval)


def _as_json(interval: Interval) -> dict[str, Any] | None:
    return None if interval.ratio is None else interval.as_json()


def _set_regression(row: dict[str, Any], quantity: Metric, threshold: float) -> None:
    """A regression is shown where the whole interval lies beyond the threshold; possible where only the ratio does."""
    interval = row["against_anchor"] or row["ratio"]
    if interval is None:
        return
    sign = 1 if quantity.more_is_better else -1
    beyond = {key: value is not None and sign * (1 - value) > threshold for key, value in interval.items()}
    shown = row["verdict"] == quantity.words[1] and beyond["high" if quantity.more_is_better else "low"]
    row["regression"] = shown
    row["possible_regression"] = beyond["ratio"] and not shown


def _why_not_comparable(pair: Pair) -> str:
    if pair.trouble:
        return pair.trouble
    if pair.before is None or pair.after is None:
        return f"only {'after' if pair.before is None else 'before'}"
    if pair.differing:
        return f"other {', '.join(key.replace('_', ' ') for key in pair.differing)}"
    sides = (("before", pair.before), ("after", pair.after))
    return "; ".join(
        f"{side}: {row['outcome']}: {first_line(row['reason'])}".rstrip(": ")
        for side, row in sides if row["outcome"] != "ok"
    )  # fmt: skip


def _which(values: list[float | None]) -> str:
    if values == [None, None]:
        return "both"
    return "the row before" if values[0] is None else "the row after"


def _side(row: Row | None, quantity: Metric) -> dict[str, Any] | None:
    if row is None:
        return None
    reading = quantity.read(row) if row["outcome"] == "ok" else None
    return {**row_identity(row), "outcome": row["outcome"], "launches": row["launches"], "flags": row["flags"],
            "value": reading and reading.value, "low": reading and reading.low,
            "high": reading and reading.high}  # fmt: skip


def _name(anchor: Anchor) -> str:
    row = anchor.pair.either
    return f"{row['title']} {row['variant']}"


def _used_anchors(matches: list[Pair], anchors: Anchors | None) -> list[dict[str, Any]]:
    """Every anchor that a row was compared against, once, with its drift."""
    used: dict[int, Anchor] = {}
    for pair in matches:
        anchor = anchors.find(pair) if anchors and pair.comparable and not pair.side_by_side else None
        if anchor is not None:
            used[id(anchor)] = anchor
    return [
        {"name": _name(anchor), "work": workload_title(anchor.pair.either),
         **row_identity(anchor.pair.either), **anchor.drift.as_json(), "doubt": anchor.doubt}
        for anchor in used.values()
    ]  # fmt: skip
