"""Tables of what makes rows credible or not: gates, limits, failures, ready-made checkpoints."""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestrator.base.escape import first_line
from orchestrator.report.formatting import cell
from orchestrator.report.tables.speed import measured
from orchestrator.results.metrics.metric import Group
from orchestrator.results.metrics.registry import in_table
from orchestrator.results.row import Row, contender, telling


def evidence(rows: list[Row]) -> pd.DataFrame:
    """Distance to the hardware's limit, energy, quality and gates, for every row that is ok."""
    metrics = in_table(Group.LIMIT, Group.ENERGY, Group.QUALITY)
    lines = [
        [*names, *(cell(metric, row) for metric in metrics), _gates(row["gates"])] for names, row in measured(rows)
    ]
    return pd.DataFrame(lines, columns=["Engine", "Variant", *(metric.head for metric in metrics), "Gates passed"])


def _gates(words: dict[str, str]) -> str:
    """The number of gates passed, and the names of those not checked."""
    unchecked = [name for name, word in words.items() if not word.startswith("pass")]
    passed = f"{len(words) - len(unchecked)} of {len(words)}"
    return passed + (f"; not checked: {', '.join(unchecked)}" if unchecked else "")


def limits(measured_limits: dict[str, Any] | None) -> str:
    """The device's limits, one per line."""
    if measured_limits is None:
        return "no limits were measured"
    bandwidth, lines = measured_limits["bandwidth_gbs"], []
    if bandwidth:
        lines.append(
            f"memory bandwidth: {bandwidth['best']:.1f} GB/s "
            f"(best of {', '.join(f'{value:.1f}' for value in bandwidth['values'])}; {bandwidth['method']}, "
            f"{bandwidth['threads'] or 'all'} threads, {bandwidth['buffer_bytes'] / 1e6:.0f} MB)"
        )
    else:
        lines.append("memory bandwidth: could not be measured")
    lines += [
        f"matrix products {dtype}: {peak['gflops']:.0f} GFLOP/s (n = {peak['n']}, {peak['by']})"
        for dtype, peak in measured_limits["matmul"].items()
    ]
    return "\n".join(lines)


def failures(rows: list[Row]) -> pd.DataFrame:
    """Every cell that is not ok, with its outcome and reason."""
    keys = telling(rows)
    lines = [
        [contender(row, keys), row["variant"], row["outcome"], first_line(row["reason"])]
        for row in rows
        if row["outcome"] != "ok"
    ]
    return pd.DataFrame(lines, columns=["Engine", "Variant", "Outcome", "Reason"])


def ready_made(rows: list[Row]) -> pd.DataFrame:
    """The source of the weights of every row that ran a ready-made checkpoint."""
    keys = telling(rows)
    lines = [
        [contender(row, keys), row["variant"], *(row[f"artefact_{name}"] or "-" for name in ("scheme", "source")),
         (row["artefact_revision"] or "-")[:12], row["artefact_digest"][:16]]
        for row in rows
        if row.get("artefact_digest")
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["Engine", "Variant", "Scheme", "Checkpoint", "Commit", "sha256"])
