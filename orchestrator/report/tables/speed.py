"""Speed tables: engine x precision, ranking, details. Each gives a pandas DataFrame of texts."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from orchestrator.base import stats
from orchestrator.base.outcomes import Outcome
from orchestrator.plan.engine import PRECISIONS
from orchestrator.report.formatting import cell, number, speed
from orchestrator.results.metrics.metric import Group
from orchestrator.results.metrics.registry import in_table
from orchestrator.results.row import Row, contender, telling


def grid(rows: list[Row], text) -> pd.DataFrame:
    """Engine x precision. Several variants of one precision share a cell, each with its scheme's name.

    A column that nobody supports on this device is left out, as long as there is another: `failures` names its rows.
    """
    tried = [row for row in rows if row["outcome"] != "unsupported"] or rows
    columns = [precision for precision in PRECISIONS if any(row["precision"] == precision for row in tried)]
    keys, table = telling(rows), {}
    for row in rows:
        cell = table.setdefault(contender(row, keys), {}).setdefault(row["precision"], [])
        plain = row["variant"] == row["precision"]
        cell.append(text(row) if plain else f"{text(row)} ({row['variant']})")
    frame = [[name, *("\n".join(cells.get(column, ["-"])) for column in columns)] for name, cells in table.items()]
    return pd.DataFrame(frame, columns=["Engine", *columns])


def detail(rows: list[Row]) -> pd.DataFrame:
    """Prefill, time to first token, step time, cold start, for every row that is ok."""
    metrics = in_table(Group.TIME)
    lines = [
        [*names, str(row["threads"] or "?"), *(cell(metric, row) for metric in metrics)]
        for names, row in measured(rows)
    ]
    return pd.DataFrame(lines, columns=["Engine", "Variant", "Threads", *(metric.head for metric in metrics)])


def measured(rows: list[Row]) -> Iterator[tuple[tuple[str, str], Row]]:
    """((engine, variant), row) of every row that is ok."""
    keys = telling(rows)
    for row in rows:
        if row["outcome"] == Outcome.OK:
            yield (contender(row, keys), row["variant"]), row


def ranking(rows: list[Row]) -> pd.DataFrame:
    """Rows by decode speed, each against the one above it and against the fastest, paired by block."""
    keys, lines = telling(rows), []
    ranked = sorted(
        (r for r in rows if r["outcome"] == "ok" and r["decode_tps"]), key=lambda r: -r["decode_tps"]["median"]
    )
    for above, row in zip([None, *ranked], ranked, strict=False):
        lines.append([
            contender(row, keys), row["variant"], speed(row), *against(row, above),
            "-" if row is ranked[0] else number(row["decode_tps"]["median"] / ranked[0]["decode_tps"]["median"]),
        ])  # fmt: skip
    return pd.DataFrame(
        lines, columns=["Engine", "Variant", "Decode tok/s", "Of the one above", "Verdict", "Of the fastest"]
    )


def against(row: Row, other: Row | None) -> tuple[str, str]:
    """Ratio and verdict of two rows; only rows of the same blocks of one run can be paired."""
    if other is None:
        return "-", "-"
    same_run = all(
        row.get(key) == other.get(key) for key in ("blocks", "machine", "source")
    )  # merged rows have a source
    if not same_run or len(row["decode_tps"]["values"]) != len(other["decode_tps"]["values"]):
        return "-", "cannot tell (not measured side by side)"
    found = stats.paired(row["decode_tps"]["values"], other["decode_tps"]["values"])
    return str(found), found.verdict
