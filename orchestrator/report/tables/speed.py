"""Speed tables as frames of texts: engine x precision, ranking, details."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from orchestrator.base import stats
from orchestrator.base.outcomes import Outcome
from orchestrator.plan.engine import PRECISIONS
from orchestrator.report.formatting import cell, number, speed
from orchestrator.results.metrics.metric import Group
from orchestrator.results.metrics.registry import in_table
from orchestrator.results.row import Row, contender, telling


def grid(rows: list[Row], text: Callable[[Row], str]) -> pd.DataFrame:
    """Engine x precision. Several variants of one precision share a cell, each with its name.

    A precision that no engine supports on this device has no column (`failures` lists its rows), unless all are such.
    """
    tried = [row for row in rows if row["outcome"] != "unsupported"] or rows
    columns = [precision for precision in PRECISIONS if any(row["precision"] == precision for row in tried)]
    keys = telling(rows)
    table: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        texts = table.setdefault(contender(row, keys), {}).setdefault(row["precision"], [])
        plain = row["variant"] == row["precision"]
        texts.append(text(row) if plain else f"{text(row)} ({row['variant']})")
    lines = [[name, *("\n".join(cells.get(column, ["-"])) for column in columns)] for name, cells in table.items()]
    return pd.DataFrame(lines, columns=["Engine", *columns])


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
    """Rows by decode speed, each compared with the one above it, paired by block, and with the fastest."""
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
    """(ratio with interval, verdict) of two rows; only rows of the same blocks of one run can be paired."""
    if other is None:
        return "-", "-"
    same_run = all(row.get(key) == other.get(key) for key in ("blocks", "machine", "source"))  # `source`: where merged
    if not same_run or len(row["decode_tps"]["values"]) != len(other["decode_tps"]["values"]):
        return "-", "cannot tell (not measured side by side)"
    ratio = stats.paired(row["decode_tps"]["values"], other["decode_tps"]["values"])
    return str(ratio), ratio.verdict
