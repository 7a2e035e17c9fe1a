"""Each engine's line over versions and dates, within one workload on one machine."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from orchestrator.report.formatting import number, speed
from orchestrator.results.row import Row, by_workload, when, workload_title

NOTE = (
    "Between runs of different times the machine may have changed as well as the engine: `compare` gives a verdict, "
    "with an anchor."
)


def lines(rows: list[Row]) -> dict[str, dict[tuple[str, str], list[Row]]]:
    """The rows, oldest first, by setting (workload, machine, device, isolation; as a title) and by engine and variant.

    Rows that do not say when they were measured, as those of an earlier version of the suite, come last.
    """
    found: dict[str, dict[tuple[str, str], list[Row]]] = {}
    for workload, group in by_workload(rows).items():
        for row in sorted(group, key=when):
            place = f"{row['machine']}, {row['device']}, {row['isolation']} isolation"
            title = f"{workload_title(row)} on {place} (workload {workload})"
            found.setdefault(title, {}).setdefault((row["title"], row["variant"]), []).append(row)
    return found


def table(found: dict[tuple[str, str], list[Row]]) -> pd.DataFrame:
    """One setting's lines, each run a line; `Of the one before` only between two that are ok."""
    out = []
    for (title, variant), points in found.items():
        for before, row in pairwise([None, *points]):
            told = [each for each in (before, row) if each and each["outcome"] == "ok" and each["decode_tps"]]
            ratio = told[1]["decode_tps"]["median"] / told[0]["decode_tps"]["median"] if len(told) == 2 else None
            out.append([
                title, variant, row["engine_version"], when(row), speed(row), str(row["launches"]),
                "-" if ratio is None else number(ratio),
            ])  # fmt: skip
    names = ["Engine", "Variant", "Version", "Date", "Decode tok/s", "Launches", "Of the one before"]
    return pd.DataFrame(out, columns=names)
