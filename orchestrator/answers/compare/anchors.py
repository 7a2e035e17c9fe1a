"""What ties two runs of different times together: a row whose software is the same in both.

A machine is not the same on two days: clocks, neighbours, kernel and drivers move every engine's speed. Whatever moves
the anchor alike cancels when each launch is divided by the anchor's launch of the same block of the same run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.answers.compare.pairing import RUN, Pair, Selector, pairs
from orchestrator.base import stats
from orchestrator.base.errors import UserError
from orchestrator.base.stats import Interval
from orchestrator.results.metrics.metric import Metric
from orchestrator.results.metrics.registry import launches
from orchestrator.results.row import Row

PLACE = (*RUN, "workload")  # where and on what work an anchor stood beside a row


@dataclass(frozen=True)
class Anchor:
    """A pair that stands for the machine, and how far it moved: by how much."""

    pair: Pair
    drift: Interval

    @property
    def doubt(self) -> str | None:
        """What a reader must know about an anchor that was named rather than found."""
        if self.pair.same_software:
            return None
        return "its version is the same in both runs, its image is not: only what changed for all engines alike cancels"


class Anchors:
    """The anchors of the pairs of two runs; `find` gives a pair its own."""

    def __init__(
        self,
        wanting: list[Pair],
        before: list[Row],
        after: list[Row],
        quantity: Metric,
        named: Selector | None,
        barred: set[str],
    ):
        """`before` and `after` are all rows there are, also those that are not compared.

        `barred` engines are never found automatically: a contender that sleeps stands still on any machine. Raises
        UserError where `named` is no row of both sets that can be an anchor.
        """
        beside_before, beside_after = _by_run(before), _by_run(after)
        places = {_place(pair) for pair in wanting if pair.comparable and not pair.side_by_side}
        candidates = [
            pair
            for earlier, later in sorted(places)
            for pair in pairs(beside_before[earlier], beside_after[later])
            if pair.comparable
        ]
        if named is None:
            candidates = [p for p in candidates if p.same_software and p.either["engine"] not in barred]
        else:
            known = sorted({f"{p.either['engine']}:{p.either['variant']}" for p in candidates if _same_version(p)})
            candidates = [p for p in candidates if named.takes(p.after) and _same_version(p)]
            if not candidates:
                raise UserError(
                    f"--anchor {named.asked}: no row of that name is ok, of the same version and of the same work in "
                    f"both: there are {', '.join(known) or 'none'}"
                )
        self._by_place: dict[tuple, list[Anchor]] = {}
        for pair in candidates:
            ours, theirs = launches(pair.after, quantity), launches(pair.before, quantity)
            if min(len(ours), len(theirs)) >= stats.MIN_LAUNCHES:
                anchor = Anchor(pair, stats.unpaired(list(ours.values()), list(theirs.values())))
                self._by_place.setdefault(_place(pair), []).append(anchor)

    def find(self, pair: Pair) -> Anchor | None:
        """The anchor of a pair: of those that stood beside it in both runs the one with the narrowest drift."""
        found = self._by_place.get(_place(pair), [])
        return min(found, key=lambda each: math.log(each.drift.high / each.drift.low), default=None)


def relative(pair: Pair, anchor: Anchor, quantity: Metric) -> tuple[Interval, tuple[int, int]]:
    """The pair's ratio over the anchor's, and how many launches it is made of (before, after)."""
    sides = []
    for row, beside in ((pair.after, anchor.pair.after), (pair.before, anchor.pair.before)):
        ours, theirs = launches(row, quantity), launches(beside, quantity)
        sides.append([ours[block] / theirs[block] for block in sorted(ours.keys() & theirs.keys())])
    return stats.unpaired(*sides), (len(sides[1]), len(sides[0]))


def _place(pair: Pair) -> tuple[tuple, tuple]:
    return _run(pair.before), _run(pair.after)


def _run(row: Row) -> tuple:
    return tuple(row.get(key) for key in PLACE)


def _by_run(rows: list[Row]) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(_run(row), []).append(row)
    return groups


def _same_version(pair: Pair) -> bool:
    return pair.same_software or pair.before["engine_version"] == pair.after["engine_version"]
