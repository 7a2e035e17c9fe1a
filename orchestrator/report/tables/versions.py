"""The history of each engine over versions and dates, within one workload on one machine."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.formatting import number, speed
from orchestrator.results.row import Row, by_workload, when, workload_title

NOTE = (
    "Between runs of different times the machine may have changed as well as the engine: `compare` gives a verdict, "
    "with an anchor."
)


def lines(rows: list[Row]) -> dict[str, dict[tuple[str, str], list[Row]]]:
    """{setting: {(engine, variant): rows, oldest first}}; a setting names workload, machine, device and isolation.

    Rows without a date, which older versions of the suite wrote, come last.
    """
    settings: dict[str, dict[tuple[str, str], list[Row]]] = {}
    for workload, group in by_workload(rows).items():
        for row in sorted(group, key=when):
            place = f"{row['machine']}, {row['device']}, {row['isolation']} isolation"
            title = f"{workload_title(row)} on {place} (workload {workload})"
            settings.setdefault(title, {}).setdefault((row["title"], row["variant"]), []).append(row)
    return settings


def table(setting: dict[tuple[str, str], list[Row]]) -> pd.DataFrame:
    """The runs of one setting, one per line; `Of the one before` only where both are ok."""
    cells = []
    for (title, variant), rows in setting.items():
        for before, row in zip([None, *rows], rows, strict=False):
            ratio = "-"
            if before is not None and _has_speed(before) and _has_speed(row):
                ratio = number(row["decode_tps"]["median"] / before["decode_tps"]["median"])
            run = [row["engine_version"], when(row), speed(row), str(row["launches"])]
            cells.append([title, variant, *run, ratio])
    names = ["Engine", "Variant", "Version", "Date", "Decode tok/s", "Launches", "Of the one before"]
    return pd.DataFrame(cells, columns=names)


def _has_speed(row: Row) -> bool:
    return row["outcome"] == "ok" and bool(row["decode_tps"])
