"""Which rows of two sets belong together, in what they differ, and which of them can be an anchor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UserError
from orchestrator.results import merge
from orchestrator.results.row import Row

# Rows that differ in one of these did not do the same work, or are not meant to: no ratio says anything.
MATCH = (
    "engine", "variant", "precision", "model", "batch_size", "prompt_tokens", "new_tokens", "workload", "device",
)  # fmt: skip
# These are compared, and their differences said: they may be the very change that is looked for.
REPORTED = ("engine_version", "settings", "machine", "device_name", "isolation", "threads")
FINER = ("source", "machine", "isolation")  # tells apart several rows that match, as merged results have them
RUN = ("given", "source", "machine", "device")  # one run on one machine


def rows_of(directory: Path) -> list[Row]:
    """The rows of a results directory with their run: `given`, the directory, and `source`, that of a merged row.

    Raises UserError where it holds no results.
    """
    rows = merge.load(directory)["rows"]
    return [{**row, "given": str(directory), "source": row.get("source", str(directory))} for row in rows]


def side_by_side(one: Row, other: Row) -> bool:
    """Whether two rows stem from one run, so that their launches of a block were made at about the same time."""
    return all(one.get(key) == other.get(key) for key in RUN)


@dataclass(frozen=True)
class Pair:
    """A row before and after. One of them is None where the other has no counterpart; `differing` are keys of MATCH."""

    before: Row | None
    after: Row | None
    differing: tuple[str, ...] = ()
    trouble: str | None = None  # why they cannot be paired though their keys match

    @property
    def either(self) -> Row:
        return self.after or self.before

    @property
    def comparable(self) -> bool:
        """Whether both are ok and did the same work."""
        both = self.before is not None and self.after is not None
        matched = both and not self.differing and self.trouble is None
        return matched and self.before["outcome"] == self.after["outcome"] == "ok"

    @property
    def side_by_side(self) -> bool:
        return side_by_side(self.before, self.after)

    @property
    def same_software(self) -> bool:
        """Whether both ran the same image. Its name is the hash of all it is made of, its id that of what was built."""
        return any(self.before.get(key) and self.before[key] == self.after.get(key) for key in ("image_id", "image"))

    def differences(self) -> list[dict[str, Any]]:
        """[{"key", "before", "after"}]: what makes the rows not comparable, and what is only reported."""
        if self.before is None or self.after is None:
            return []
        keys = [key for key in (*self.differing, *REPORTED) if self.before.get(key) != self.after.get(key)]
        found = [{"key": key, "before": self.before.get(key), "after": self.after.get(key)} for key in keys]
        if self.before.get("image") and self.after.get("image") and not self.same_software:
            found.append({"key": "image", "before": self.before["image"], "after": self.after["image"]})
        return found


def pairs(before: list[Row], after: list[Row], ignoring: Iterable[str] = ()) -> list[Pair]:
    """Every row of both sets once, in the order of `after`, then those that only `before` has.

    Rows match where all keys of MATCH but `ignoring` are equal. What is left is paired with the row of the same engine
    and variant that differs in the fewest keys, to say which: such a pair is not comparable. A cell that never got a
    workload hash matches any.
    """
    keys = [key for key in MATCH if key not in ignoring]
    names = [key for key in ("engine", "variant") if key not in ignoring]
    left = _grouped(before, names)
    found: list[Pair] = []
    for name, rows in _grouped(after, names).items():
        found += _pairs_of_one_name(left.pop(name, []), rows, keys)
    return found + [Pair(row, None) for rows in left.values() for row in rows]


def _grouped(rows: list[Row], names: list[str]) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def _pairs_of_one_name(before: list[Row], after: list[Row], keys: list[str]) -> list[Pair]:
    """Exact matches first, so that no row is taken for a lesser match while its own counterpart waits."""
    waiting, found, unmatched = list(before), {}, []
    for number, row in enumerate(after):
        alike = [other for other in waiting if not _differing(other, row, keys)]
        alike = _finest(alike, row)
        rivals = [other for other in after if alike and not _differing(alike[0], other, keys)]
        if len(alike) == 1 and len(_finest(rivals, alike[0])) == 1:
            found[number] = Pair(alike[0], row)
            waiting = [other for other in waiting if other is not alike[0]]
        elif alike:
            count = max(len(alike), len(_finest(rivals, alike[0])))
            found[number] = Pair(None, row, trouble=f"{count} rows match: name one with --before and --after")
        else:
            unmatched.append(number)
    for number in unmatched:
        row = after[number]
        if waiting:
            nearest = min(waiting, key=lambda other: len(_differing(other, row, keys)))
            found[number] = Pair(nearest, row, _differing(nearest, row, keys))
            waiting = [other for other in waiting if other is not nearest]
        else:
            found[number] = Pair(None, row)
    return [found[number] for number in sorted(found)] + [Pair(row, None) for row in waiting]


def _differing(one: Row, other: Row, keys: list[str]) -> tuple[str, ...]:
    return tuple(
        key for key in keys
        if one[key] != other[key] and not (key == "workload" and None in (one[key], other[key]))
    )  # fmt: skip


def _finest(rows: list[Row], like: Row) -> list[Row]:
    """Of several rows those that agree with `like` in run, machine and isolation too, if there are any."""
    for key in FINER:
        closer = [row for row in rows if row.get(key) == like.get(key)]
        rows = closer if len(rows) > 1 and closer else rows
    return rows


# -- selectors ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selector:
    """ENGINE[:VARIANT][@VERSION] as the user wrote it."""

    engine: str
    variant: str | None
    version: str | None
    asked: str

    @classmethod
    def parse(cls, text: str) -> Selector:
        named, _, version = text.partition("@")
        engine, _, variant = named.partition(":")
        if not engine:
            raise UserError(f"{text!r} names no engine: write ENGINE, ENGINE:VARIANT or ENGINE@VERSION")
        return cls(engine, variant or None, version or None, text)

    def takes(self, row: Row) -> bool:
        return (
            row["engine"] == self.engine
            and self.variant in (None, row["variant"])
            and self.version in (None, row["engine_version"])
        )


def selected(rows: list[Row], selector: Selector | None, where: str) -> list[Row]:
    """The rows that a selector takes. Raises UserError naming what there is where it takes none."""
    found = [row for row in rows if selector is None or selector.takes(row)]
    if not found:
        known = sorted({f"{row['engine']}:{row['variant']}@{row['engine_version']}" for row in rows})
        raise UserError(f"no row of {where} is {selector.asked!r}: there are {', '.join(known) or 'none'}")
    return found


def two_versions(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """(before, after) of one directory: rows of every engine that stands in it in exactly two versions, older first.

    A version is an image; older is the one that comes first. Raises UserError where no engine has two.
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
