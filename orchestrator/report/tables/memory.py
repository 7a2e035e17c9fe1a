"""The table of what each row's memory is used for."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.formatting import cell
from orchestrator.report.tables.speed import measured
from orchestrator.results.metrics.metric import Group
from orchestrator.results.metrics.registry import in_table
from orchestrator.results.row import Row


def memory_split(rows: list[Row]) -> pd.DataFrame:
    """What the memory of every row that is ok is used for, in MiB; the KV cache as reserved and as the shape needs."""
    metrics = in_table(Group.MEMORY)
    lines = [[*names, *(cell(metric, row) for metric in metrics)] for names, row in measured(rows)]
    return pd.DataFrame(lines, columns=["Engine", "Variant", *(metric.short for metric in metrics)])
