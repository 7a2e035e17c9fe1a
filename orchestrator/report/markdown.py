"""report.md of a results directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from orchestrator.base.escape import escape
from orchestrator.base.outcomes import known_flags
from orchestrator.report import formatting
from orchestrator.report.tables import evidence, memory, relative, speed
from orchestrator.report.tables.markdown_table import pipe_table
from orchestrator.results.row import by_workload, workload_title

DETAILS_LIMIT = 60  # rows; with more, commands to reproduce them are only in the launches' own folders
WIDE = 14  # columns; a wider table of machines is only printed by `report --table machines`


def render(summary: dict[str, Any], matrix: str | None = None) -> str:
    """report.md as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters["md"] = escape
    runs = summary.get("runs") or [summary["run"]]
    rows = summary["rows"]
    ok = [row for row in rows if row["outcome"] == "ok"]
    return environment.get_template("report.md.j2").render(
        title="LLM inference benchmark",
        runs=runs,
        images={tag: image for run in runs for tag, image in run["images"].items()},
        groups=[_group(workload, group) for workload, group in by_workload(rows).items()],
        matrix=matrix,
        limits=evidence.limits(summary.get("limits")),
        reference=summary.get("reference"),
        answered=[row for row in ok if row.get("answers")],
        reproducible=[row for row in ok if row.get("reproduce_commands")] if len(ok) <= DETAILS_LIMIT else [],
    )


def _group(workload: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    levels = {row["decode_tps"]["level"] for row in rows if row["decode_tps"]}
    counts = sorted({row["launches"] for row in rows if row["outcome"] == "ok"})
    if levels - {None}:
        interval = "Intervals are order-statistic intervals of the median over launches, level " + ", ".join(
            f"{level:.4f}" for level in sorted(levels - {None})
        ) + "."  # fmt: skip
    else:
        interval = f"No interval: {', '.join(map(str, counts)) or 'no'} launch(es) a row, five are needed for one."
    machines = relative.machines(rows)
    return {
        "title": workload_title(rows[0]),
        "workload": workload,
        "interval": interval,
        "speed": pipe_table(speed.grid(rows, formatting.speed)),
        "mean": pipe_table(speed.grid(rows, formatting.mean_std)),
        "split": pipe_table(memory.memory_split(rows)),
        "memory": pipe_table(speed.grid(rows, formatting.memory)),
        "settings": pipe_table(relative.settings(rows)),
        "settings_note": relative.settings_note(rows),
        "precisions": _unless_empty(relative.precisions(rows)),
        "machines": _unless_empty(machines) if len(machines.columns) <= WIDE else None,
        "devices": _unless_empty(relative.cpu_against_accelerator(rows)),
        "outliers": relative.OUTLIERS,
        "detail": pipe_table(speed.detail(rows)),
        "ranking": pipe_table(speed.ranking(rows)),
        "evidence": pipe_table(evidence.evidence(rows)),
        "flags": known_flags(sorted({word for row in rows for word in row["flags"]})),
        "ready_made": _unless_empty(evidence.ready_made(rows)),
        "failures": _unless_empty(evidence.failures(rows)),
    }


def _unless_empty(table: pd.DataFrame) -> str | None:
    return pipe_table(table.rename(columns=escape)) if len(table) else None
