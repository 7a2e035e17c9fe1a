"""Is it faster than before? Two sets of rows, row by row: ratio, interval and verdict. The result is plain data;
`compare_text` writes it.

Rows of one run pair by block. Rows of two runs do not, and need an anchor: a row of the same software in both, by which
each launch is divided, so that what moved the machine cancels. `--no-anchor` takes the ratio as it is instead.
"""

from __future__ import annotations

from collections import Counter
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
    """What is asked: `threshold` is the share from which a loss fails (0.05), None where none does."""

    metric: str = "decode_tps"
    before: str | None = None
    after: str | None = None
    anchor: str | None = None
    no_anchor: bool = False
    threshold: float | None = None


def compare(directories: list[Path], question: Question, barred: set[str] = frozenset()) -> dict[str, Any]:
    """Every row of one or two directories with its verdict. `barred` engines are no anchors unless named.

    Raises UserError for other than one or two different directories, without results in one, and where nothing that was
    named is found.
    """
    before_all, after_all, before, after = _sides(directories, question)
    ignoring = _ignoring(question)
    found = pairs(before, after, ignoring)
    if not any(pair.before and pair.after for pair in found):
        trouble = next((pair.trouble for pair in found if pair.trouble), None)
        if trouble:
            raise UserError(f"nothing to compare: {trouble} as ENGINE:VARIANT@VERSION, or name two directories")
        raise UserError(
            f"nothing to compare: no engine and variant stands in both ({_names(before)} before, {_names(after)} "
            "after); --before and --after ENGINE[:VARIANT] compare rows of different names"
        )
    quantity = METRICS[question.metric]
    anchors = None
    if quantity.drifts and not question.no_anchor and not all(p.side_by_side for p in found if p.comparable):
        named = Selector.parse(question.anchor) if question.anchor else None
        anchors = Anchors(found, before_all, after_all, quantity, named, barred)
    elif question.anchor and not question.no_anchor:
        _refuse_needless_anchor(quantity)
    rows = [_judge(pair, quantity, anchors, question) for pair in found]
    for row, pair, name in zip(rows, found, row_names([pair.either for pair in found]), strict=True):
        row["name"] = name if _one_name(pair) else f"{pair.before['title']} {pair.before['variant']} → {name}"
    used = _used_anchors(found, anchors)
    return {
        "schema": 1,
        "metric": quantity.as_json(),
        "before": _described(before),
        "after": _described(after),
        "threshold": question.threshold,
        "anchors": used,
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
        rows = [rows_of(directory) for directory in directories]
        return *rows, *(selected(*each) for each in zip(rows, (first, last), map(str, directories), strict=True))
    rows = rows_of(directories[0])
    if first is None and last is None:
        return rows, rows, *two_versions(rows)
    if first is None or last is None or first == last:
        raise UserError("one directory needs two different rows: give --before and --after")
    return rows, rows, selected(rows, first, str(directories[0])), selected(rows, last, str(directories[0]))


def _ignoring(question: Question) -> tuple[str, ...]:
    """The keys in which rows that were named may differ: that is the comparison asked for."""
    if not question.before or not question.after:
        return ()
    one, other = Selector.parse(question.before), Selector.parse(question.after)
    keys = ("engine",) if one.engine != other.engine else ()
    return (*keys, "variant", "precision") if one.variant and other.variant else keys


def _refuse_needless_anchor(quantity: Metric) -> None:
    why = "measured side by side" if quantity.drifts else f"not needed: {quantity.title} does not drift"
    raise UserError(f"--anchor: {why}, the rows need no anchor; leave --anchor away")


def _names(rows: list[Row]) -> str:
    names = sorted({f"{row['engine']}:{row['variant']}" for row in rows})
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "") or "no row"


def _one_name(pair: Pair) -> bool:
    """Whether both sides, where there are two, are called the same."""
    if pair.before is None or pair.after is None:
        return True
    return all(pair.before[key] == pair.after[key] for key in ("engine", "variant"))


def _described(rows: list[Row]) -> dict[str, Any]:
    def values(key: str) -> list[Any]:
        return list(dict.fromkeys(row.get(key) for row in rows))

    return {"directory": rows[0]["given"], "sources": values("source"), "machines": values("machine"),
            "versions": values("engine_version")}  # fmt: skip


def _judge(pair: Pair, quantity: Metric, anchors: Anchors | None, question: Question) -> dict[str, Any]:
    """One row: the plain ratio after / before, the ratio against the anchor where there is one, and the verdict."""
    row = {
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
    values = [quantity.read(side).value for side in (pair.before, pair.after)]
    if None in values:
        row["verdict"], row["why"] = CANNOT_TELL, f"{quantity.title} is unknown for {_which(values)}"
        return row
    row.update(_statistics(pair, quantity, anchors, question))
    if question.threshold is not None and row["method"] != "is the anchor":
        _set_regression(row, quantity, question.threshold)
    return row


def _is_lost(pair: Pair) -> bool:
    """Whether a row that was ok is so no more, by the engine's own doing."""
    if pair.before is None or pair.after is None or pair.before["outcome"] != Outcome.OK:
        return False
    return OUTCOMES[pair.after["outcome"]].is_loss


def _statistics(pair: Pair, quantity: Metric, anchors: Anchors | None, question: Question) -> dict[str, Any]:
    before, after = launches(pair.before, quantity), launches(pair.after, quantity)
    if pair.side_by_side:
        blocks = sorted(before.keys() & after.keys())
        found = stats.paired([after[b] for b in blocks], [before[b] for b in blocks])
        return {"method": "block by block", **_verdict(found, quantity, (len(blocks), len(blocks)), "ratio", pair)}
    plain = stats.unpaired(list(after.values()), list(before.values()))
    counts = len(before), len(after)
    if anchors is None:
        method = UNANCHORED if quantity.drifts else "launches of two runs"
        return {"method": method, **_verdict(plain, quantity, counts, "ratio", pair)}
    anchor = anchors.find(pair)
    ratio = _ratio(plain, pair, quantity)
    if anchor is None:
        why = NO_ANCHOR
        return {"method": UNANCHORED, "ratio": ratio, "verdict": CANNOT_TELL, "why": why}
    if anchor.pair == pair:
        why = "it is the anchor: the others are measured against it"
        return {"method": "is the anchor", "ratio": ratio, "verdict": CANNOT_TELL, "why": why}
    found, counts = relative(pair, anchor, quantity)
    judged = _verdict(found, quantity, counts, "against_anchor", pair)
    return {"method": "against the anchor", **judged, "ratio": ratio, "anchor": _name(anchor)}


def _verdict(found: Interval, quantity: Metric, counts: tuple[int, int], key: str, pair: Pair) -> dict[str, Any]:
    """The statistic's word in the quantity's own words, and why where it cannot tell. `counts` are launches."""
    better, worse = quantity.words if quantity.more_is_better else quantity.words[::-1]
    word = {"faster": better, "slower": worse}.get(found.verdict, found.verdict)
    why = None
    if word == CANNOT_TELL:
        why = TOO_WIDE
        if min(counts) < stats.MIN_LAUNCHES:
            why = f"{counts[0]} launches before, {counts[1]} after: five are needed of each"
            if key == "against_anchor":
                why += ", in the same blocks as the anchor's"
            if not min(counts):
                why = "the launches' own values are not in these results: `report DIR` makes them anew from a journal"
    shown = _ratio(found, pair, quantity) if key == "ratio" else _known(found)
    return {key: shown, "verdict": word, "why": why}


def _ratio(found: Interval, pair: Pair, quantity: Metric) -> dict[str, Any] | None:
    """The ratio of the launches; of the rows' own figures, without an interval, where there are no launches' values."""
    if found.ratio is None:
        before, after = (quantity.read(side).value for side in (pair.before, pair.after))
        found = Interval(after / before if before else None)
    return _known(found)


def _known(found: Interval) -> dict[str, Any] | None:
    return None if found.ratio is None else found.as_json()


def _set_regression(row: dict[str, Any], quantity: Metric, threshold: float) -> None:
    """A regression is shown where the whole interval lies beyond the threshold; possible where only the ratio does."""
    found = row["against_anchor"] or row["ratio"]
    if found is None:
        return
    sign = 1 if quantity.more_is_better else -1
    beyond = {key: value is not None and sign * (1 - value) > threshold for key, value in found.items()}
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
        f"{where}: {row['outcome']}: {first_line(row['reason'])}".rstrip(": ")
        for where, row in sides if row["outcome"] != "ok"
    )  # fmt: skip


def _which(values: list[float | None]) -> str:
    if values == [None, None]:
        return "both"
    return "the row before" if values[0] is None else "the row after"


def _side(row: Row | None, quantity: Metric) -> dict[str, Any] | None:
    if row is None:
        return None
    read = quantity.read(row) if row["outcome"] == "ok" else None
    return {**row_identity(row), "outcome": row["outcome"], "launches": row["launches"], "flags": row["flags"],
            "value": read and read.value, "low": read and read.low, "high": read and read.high}  # fmt: skip


def _name(anchor: Anchor) -> str:
    row = anchor.pair.either
    return f"{row['title']} {row['variant']}"


def _used_anchors(found: list[Pair], anchors: Anchors | None) -> list[dict[str, Any]]:
    """Every anchor that a row was held against, once, with how far the machine moved it."""
    used: dict[int, tuple[Anchor, Pair]] = {}
    for pair in found:
        anchor = anchors.find(pair) if anchors and pair.comparable and not pair.side_by_side else None
        if anchor is not None:
            used.setdefault(id(anchor), (anchor, pair))
    return [
        {"name": _name(anchor), "work": workload_title(anchor.pair.either),
         **row_identity(anchor.pair.either), **anchor.drift.as_json(), "doubt": anchor.doubt}
        for anchor, _ in used.values()
    ]  # fmt: skip
