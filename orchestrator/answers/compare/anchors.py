"""Anchors, which make two runs of different times comparable: rows whose software is the same in both runs.

A machine drifts from day to day: clocks, neighbours, kernel and drivers change every engine's speed. Drift that the
anchor shares cancels when each launch is divided by the anchor's launch of the same block of the same run.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from orchestrator.answers.compare.pairing import RUN, Pair, Selector, pairs
from orchestrator.base import stats
from orchestrator.base.errors import UserError
from orchestrator.base.stats import Interval
from orchestrator.results.metrics.metric import Metric
from orchestrator.results.metrics.registry import launches
from orchestrator.results.row import Row

PLACE = (*RUN, "workload")  # an anchor and the row that it serves agree in these
Place = tuple[Any, ...]  # a row's values of PLACE


@dataclass(frozen=True)
class Anchor:
    """A pair of rows of the same software; `drift`, its ratio after / before, is the machine's."""

    pair: Pair
    drift: Interval

    @property
    def doubt(self) -> str | None:
        """The reservation about an anchor that the user named though its image differs; else None."""
        if self.pair.same_software:
            return None
        return "its version is the same in both runs, its image is not: only what changed for all engines alike cancels"

    @property
    def spread(self) -> float:
        """Width of the drift's interval on a log scale; infinite where it has no interval."""
        low, high = self.drift.low, self.drift.high
        return math.inf if low is None or high is None else math.log(high / low)


class Anchors:
    """The anchors of two runs; `find` returns that of a pair."""

    def __init__(
        self,
        unanchored: list[Pair],
        before: list[Row],
        after: list[Row],
        quantity: Metric,
        named: Selector | None,
        barred: Collection[str],
    ):
        """`before` and `after` are all rows of the two runs, including those that are not compared.

        `barred` engines are anchors only where named: the speed of a contender that sleeps shows no drift. Raises
        UserError where no row of both runs matches `named` and can be an anchor.
        """
        rows_before, rows_after = _by_run(before), _by_run(after)
        places = {_place(pair) for pair in unanchored if pair.comparable and not pair.side_by_side}
        candidates = [
            pair
            for earlier, later in sorted(places)
            for pair in pairs(rows_before[earlier], rows_after[later])
            if pair.comparable
        ]
        if named is None:
            candidates = [p for p in candidates if p.same_software and p.either["engine"] not in barred]
        else:
            eligible = [p for p in candidates if _same_version(p)]
            choices = sorted({f"{p.either['engine']}:{p.either['variant']}" for p in eligible})
            candidates = [p for p in eligible if named.takes(p.either)]
            if not candidates:
                raise UserError(
                    f"--anchor {named.asked}: no row of that name is ok, of the same version and of the same work in "
                    f"both: there are {', '.join(choices) or 'none'}"
                )
        self._by_place: dict[tuple[Place, Place], list[Anchor]] = {}
        for pair in candidates:
            earlier_launches, later_launches = (launches(row, quantity) for row in pair.both)
            if min(len(earlier_launches), len(later_launches)) >= stats.MIN_LAUNCHES:
                drift = stats.unpaired(list(later_launches.values()), list(earlier_launches.values()))
                self._by_place.setdefault(_place(pair), []).append(Anchor(pair, drift))

    def find(self, pair: Pair) -> Anchor | None:
        """Of the anchors in both runs of a pair, the one with the narrowest drift; None without one."""
        return min(self._by_place.get(_place(pair), []), key=lambda anchor: anchor.spread, default=None)


def relative(pair: Pair, anchor: Anchor, quantity: Metric) -> tuple[Interval, tuple[int, int]]:
    """(the pair's ratio divided by the anchor's, (launches before, launches after) that it is computed from)."""
    sides = []
    for row, anchor_row in zip(pair.both, anchor.pair.both, strict=True):
        ours, theirs = launches(row, quantity), launches(anchor_row, quantity)
        sides.append([ours[block] / theirs[block] for block in sorted(ours.keys() & theirs.keys())])
    before, after = sides
    return stats.unpaired(after, before), (len(before), len(after))


def _place(pair: Pair) -> tuple[Place, Place]:
    before, after = pair.both
    return _run(before), _run(after)


def _run(row: Row) -> Place:
    return tuple(row.get(key) for key in PLACE)


def _by_run(rows: list[Row]) -> dict[Place, list[Row]]:
    groups: dict[Place, list[Row]] = {}
    for row in rows:
        groups.setdefault(_run(row), []).append(row)
    return groups


def _same_version(pair: Pair) -> bool:
    before, after = pair.both
    return pair.same_software or before["engine_version"] == after["engine_version"]
