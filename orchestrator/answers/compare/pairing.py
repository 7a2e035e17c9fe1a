"""Pairs the rows of two result sets, and lists how the rows of a pair differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UserError
from orchestrator.results import merge
from orchestrator.results.row import Row

# Rows that differ in one of these did different work, or are different contenders: their ratio means nothing.
MATCH = ("engine", "variant", "precision", "model", "batch_size", "prompt_tokens", "new_tokens", "workload", "device")
# Differences in these are reported and do not prevent a comparison: they may be the very change under test.
REPORTED = ("engine_version", "settings", "machine", "device_name", "isolation", "threads")
FINER = ("source", "machine", "isolation")  # distinguishes rows that match otherwise, as in merged results
RUN = ("given", "source", "machine", "device")  # identifies one run on one machine


def rows_of(directory: Path) -> list[Row]:
    """The rows of a results directory, with `given`, the directory as named, and `source`, where a merged row is from.

    Raises UserError where it holds no results.
    """
    rows = merge.load(directory)["rows"]
    return [{**row, "given": str(directory), "source": row.get("source", str(directory))} for row in rows]


def side_by_side(ours: Row, theirs: Row) -> bool:
    """Whether two rows stem from one run, so that their launches of a block were made at about the same time."""
    return all(ours.get(key) == theirs.get(key) for key in RUN)


@dataclass(frozen=True)
class Pair:
    """A row before and after; one of them is None where the other has no counterpart.

    `differing` are the keys of MATCH in which they differ, `trouble` says why rows of equal keys cannot be paired.
    """

    before: Row | None
    after: Row | None
    differing: tuple[str, ...] = ()
    trouble: str | None = None

    @property
    def either(self) -> Row:
        """The row after; the row before where there is none."""
        return next(row for row in (self.after, self.before) if row is not None)

    @property
    def both(self) -> tuple[Row, Row]:
        """(before, after). Raises ValueError where one of them is missing."""
        if self.before is None or self.after is None:
            raise ValueError(f"{self.either['engine']} {self.either['variant']} has no counterpart")
        return self.before, self.after

    @property
    def comparable(self) -> bool:
        """Whether both are ok and did the same work."""
        if self.before is None or self.after is None or self.differing or self.trouble is not None:
            return False
        return self.before["outcome"] == self.after["outcome"] == "ok"

    @property
    def side_by_side(self) -> bool:
        return side_by_side(*self.both)

    @property
    def same_software(self) -> bool:
        """Whether both ran the same image: `image` is the hash of its sources, `image_id` that of the built image."""
        before, after = self.both
        return any(before.get(key) and before[key] == after.get(key) for key in ("image_id", "image"))

    def differences(self) -> list[dict[str, Any]]:
        """[{"key", "before", "after"}]: differences that prevent a comparison, then those that are only reported."""
        if self.before is None or self.after is None:
            return []
        keys = [key for key in (*self.differing, *REPORTED) if self.before.get(key) != self.after.get(key)]
        differences = [{"key": key, "before": self.before.get(key), "after": self.after.get(key)} for key in keys]
        if self.before.get("image") and self.after.get("image") and not self.same_software:
            differences.append({"key": "image", "before": self.before["image"], "after": self.after["image"]})
        return differences


def pairs(before: list[Row], after: list[Row], ignoring: Iterable[str] = ()) -> list[Pair]:
    """Every row of both sets once, in the order of `after`, then those that only `before` has.

    Rows match where all keys of MATCH except `ignoring` are equal. A row without a match is paired with the row of the
    same engine and variant that differs in the fewest keys, so that these can be named; such a pair is not comparable.
    A missing workload hash (of a cell that failed early) matches any.
    """
    keys = [key for key in MATCH if key not in ignoring]
    names = [key for key in ("engine", "variant") if key not in ignoring]
    remaining = _grouped(before, names)
    matches: list[Pair] = []
    for name, rows in _grouped(after, names).items():
        matches += _pairs_of_one_name(remaining.pop(name, []), rows, keys)
    return matches + [Pair(row, None) for rows in remaining.values() for row in rows]


def _grouped(rows: list[Row], keys: list[str]) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _pairs_of_one_name(before: list[Row], after: list[Row], keys: list[str]) -> list[Pair]:
    """Exact matches first, so that a near match does not take the exact counterpart of another row."""
    unpaired, matches, unmatched = list(before), {}, []
    for number, row in enumerate(after):
        alike = [other for other in unpaired if not _differing(other, row, keys)]
        alike = _finest(alike, row)
        rivals = [other for other in after if alike and not _differing(alike[0], other, keys)]
        if len(alike) == 1 and len(_finest(rivals, alike[0])) == 1:
            matches[number] = Pair(alike[0], row)
            unpaired = [other for other in unpaired if other is not alike[0]]
        elif alike:
            count = max(len(alike), len(_finest(rivals, alike[0])))
            matches[number] = Pair(None, row, trouble=f"{count} rows match: name one with --before and --after")
        else:
            unmatched.append(number)
    for number in unmatched:
        row = after[number]
        if unpaired:
            nearest = min(unpaired, key=lambda other: len(_differing(other, row, keys)))
            matches[number] = Pair(nearest, row, _differing(nearest, row, keys))
            unpaired = [other for other in unpaired if other is not nearest]
        else:
            matches[number] = Pair(None, row)
    return [matches[number] for number in sorted(matches)] + [Pair(row, None) for row in unpaired]


def _differing(before: Row, after: Row, keys: list[str]) -> tuple[str, ...]:
    return tuple(
        key for key in keys
        if before[key] != after[key] and not (key == "workload" and None in (before[key], after[key]))
    )  # fmt: skip


def _finest(rows: list[Row], like: Row) -> list[Row]:
    """Of several rows, those that agree with `like` in source, machine and isolation too, where there are any."""
    for key in FINER:
        closer = [row for row in rows if row.get(key) == like.get(key)]
        rows = closer if len(rows) > 1 and closer else rows
    return rows


# -- selectors ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selector:
    """ENGINE[:VARIANT][@VERSION]; `asked` is the text as the user wrote it."""

    engine: str
    variant: str | None
    version: str | None
    asked: str

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Raises UserError where `text` names no engine."""
        name, _, version = text.partition("@")
        engine, _, variant = name.partition(":")
        if not engine:
            raise UserError(f"{text!r} names no engine: write ENGINE, ENGINE:VARIANT or ENGINE@VERSION")
        return cls(engine, variant or None, version or None, text)

    def takes(self, row: Row) -> bool:
        """Whether the row is one that the selector names."""
        return (
            row["engine"] == self.engine
            and self.variant in (None, row["variant"])
            and self.version in (None, row["engine_version"])
        )


def selected(rows: list[Row], selector: Selector | None, where: str) -> list[Row]:
    """The rows that a selector names, all without one. Raises UserError with the choices where it names none."""
    if selector is None:
        return rows
    chosen = [row for row in rows if selector.takes(row)]
    if not chosen:
        choices = sorted({f"{row['engine']}:{row['variant']}@{row['engine_version']}" for row in rows})
        raise UserError(f"no row of {where} is {selector.asked!r}: there are {', '.join(choices) or 'none'}")
    return chosen


def two_versions(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """(before, after) from one directory: the rows of every engine that it holds in exactly two versions, older first.

    A version is an image; the older one is that of the earlier row. Raises UserError where no engine has two.
    """
    before, after, many = [], [], []
    for (engine, _), group in _grouped([row for row in rows if row["image"]], ["engine", "device"]).items():
        images = list(dict.fromkeys(row["image"] for row in group))
        if len(images) == 2:
            before += [row for row in group if row["image"] == images[0]]
            after += [row for row in group if row["image"] == images[1]]
        elif len(images) > 2:
            many.append(engine)
    if not before:
        why = f"{many[0]} stands in it in more than two versions" if many else "no engine stands in it in two versions"
        raise UserError(
            f"one directory, and {why}: name two directories, or what to compare with --before and --after "
            "ENGINE[:VARIANT][@VERSION]"
        )
    return before, after
