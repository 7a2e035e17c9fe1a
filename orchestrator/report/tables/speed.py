"""Speed tables: engine x precision, ranking, details. Each gives a pandas DataFrame of texts."""

from __future__ import annotations

import pandas as pd

from orchestrator.base import stats
from orchestrator.plan.engine import PRECISIONS
from orchestrator.report.formatting import milliseconds, number, speed
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
    keys, lines = telling(rows), []
    for row in rows:
        if row["outcome"] != "ok":
            continue
        lines.append([
            contender(row, keys), row["variant"], str(row["threads"] or "?"), speed(row, "prefill_tps"),
            milliseconds(row["ttft_s"]), milliseconds(row["itl_s"]), _ms(row["itl_p90_s"]), _ms(row["itl_p99_s"]),
            number(row["load_s"]), number(row["first_generate_s"]),
        ])  # fmt: skip
    names = [
        "Engine",
        "Variant",
        "Threads",
        "Prefill tok/s",
        "TTFT ms",
        "Step ms",
        "p90 ms",
        "p99 ms",
        "Load s",
        "First s",
    ]
    return pd.DataFrame(lines, columns=names)


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
    interval = "" if found["low"] is None else f" [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{found['ratio']:.3f}{interval}", found["verdict"]


def _ms(value: float | None) -> str:
    return "n/a" if value is None else number(value * 1000)
