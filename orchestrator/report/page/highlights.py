"""Answers to the questions that most readers come with, for one workload."""

from __future__ import annotations

from operator import itemgetter
from typing import NamedTuple

from orchestrator.report.charts.tradeoffs import decode, memory_mib, top1, valued
from orchestrator.report.formatting import number, percent, speed
from orchestrator.results.metrics.metric import SIZES
from orchestrator.results.row import Row, notes, row_names

MIN_TOP1 = 0.99
FITS_GB = 8  # 10^9 bytes
GB = SIZES["GB"]  # in MiB
NAMED = 3  # at most so many of the rows that cannot be told from the best
_value = itemgetter(0)  # of a pair of `valued`


class Answer(NamedTuple):
    """A question and the row that answers it; `figure` is None where no row does, and `lines` say why."""

    question: str
    who: str | None
    figure: str | None
    lines: list[str]


def answers(rows: list[Row]) -> list[Answer]:
    """The fastest row, the fastest of nearly the reference's quality, the smallest, the most energy-efficient."""
    ok = [row for row in rows if decode(row) is not None]
    names = dict(zip(map(id, rows), row_names(rows), strict=True))
    return [_fastest(ok, names), _faithful(ok, names), _smallest(ok, names), _frugal(ok, names)]


def _fastest(rows: list[Row], names: dict[int, str]) -> Answer:
    question = "Fastest"
    if not rows:
        return Answer(question, None, None, ["No row has a decode speed."])
    best = _fastest_of(rows)
    quality = f"top-1 agreement {percent(top1(best), 2)}" if top1(best) is not None else "quality not measured"
    return Answer(question, names[id(best)], f"{speed(best)} tokens/s", [quality, *_doubts(best, rows, names)])


def _faithful(rows: list[Row], names: dict[int, str]) -> Answer:
    question = f"Fastest that keeps {MIN_TOP1:.0%} top-1 agreement".replace("%", " %")
    shares = valued(rows, top1)
    if not shares:
        return Answer(question, None, None, ["No row was compared with the float32 reference."])
    good, others = [row for share, row in shares if share >= MIN_TOP1], len(rows) - len(shares)
    unknown = f"{others} of {len(rows)} rows are of unknown quality" if others else None
    if not good:
        share, nearest = max(shares, key=_value)
        lines = [f"No row does; nearest is {names[id(nearest)]} with {percent(share, 2)}.", unknown]
        return Answer(question, None, None, [line for line in lines if line])
    best = _fastest_of(good)
    lines = [f"top-1 agreement {percent(top1(best), 2)}", *_doubts(best, good, names), unknown]
    return Answer(question, names[id(best)], f"{speed(best)} tokens/s", [line for line in lines if line])


def _smallest(rows: list[Row], names: dict[int, str]) -> Answer:
    question = f"Smallest that fits {FITS_GB} GB"
    peaks = valued(rows, memory_mib)
    if not peaks:
        return Answer(question, None, None, ["No row's peak memory is known."])
    least, smallest = min(peaks, key=_value)
    gigabytes = f"{least / GB:.2f} GB"
    if least > FITS_GB * GB:
        return Answer(question, None, None, [f"No row does; the smallest is {names[id(smallest)]} with {gigabytes}."])
    fitting = sum(peak <= FITS_GB * GB for peak, _ in peaks)
    weights = f"weights {number(smallest['weights_mib'])} MiB, {speed(smallest)} tokens/s"
    lines = [weights, f"{fitting} of {len(peaks)} rows fit"]
    return Answer(question, names[id(smallest)], f"{gigabytes} at the peak", lines)


def _frugal(rows: list[Row], names: dict[int, str]) -> Answer:
    question = "Most tokens per joule"
    metered = [row for row in rows if row["energy_j_per_token"]]
    if not metered:
        reason = next((row.get("energy_validity") for row in rows if row.get("energy_validity")), None)
        return Answer(question, None, None, ["No row's energy is known" + (f" ({reason})." if reason else ".")])
    best = min(metered, key=lambda row: row["energy_j_per_token"])
    net = best.get("energy_idle_subtracted_j_per_token")
    lines = [f"{number(best['energy_j_per_token'])} J a token" + (f", {number(net)} without idle draw" if net else "")]
    return Answer(question, names[id(best)], f"{number(1 / best['energy_j_per_token'])} tokens/J", lines)


def _fastest_of(rows: list[Row]) -> Row:
    return max(valued(rows, decode), key=_value)[1]


def _doubts(best: Row, rows: list[Row], names: dict[int, str]) -> list[str]:
    """The rows that cannot be told from the best, and the notes of its flags."""
    interval, lines = best["decode_tps"], []
    if interval["low"] is None:
        count = best["launches"]
        few = "one launch a row is" if count == 1 else f"{count} launches a row are"
        lines.append(f"{few} too few to say that it is truly first")
    else:
        near = [row for row in rows if row is not best and _reaches(row, interval["low"])]
        if near:
            more = f" and {len(near) - NAMED} more" if len(near) > NAMED else ""
            lines.append("cannot be told from " + ", ".join(names[id(row)] for row in near[:NAMED]) + more)
    return [*lines, *filter(None, [notes(best)])]


def _reaches(row: Row, low: float) -> bool:
    """Whether a row's interval, or its median where it has none, reaches up to `low`."""
    value = row["decode_tps"]
    return (value["median"] if value["high"] is None else value["high"]) >= low
