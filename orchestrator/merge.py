"""Several results directories in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator import report
from orchestrator.errors import UserError
from orchestrator.metrics import METRICS, BadSamples
from orchestrator.summarise import SCHEMA, summarise
from orchestrator.texts import one_line

NEEDED = {  # of a row, for any command that reads it
    "engine", "title", "engine_version", "variant", "precision", "model", "device", "machine", "isolation",
    "batch_size", "prompt_tokens", "new_tokens", "workload", "outcome", "reason", "launches", "flags", "caveat",
    *METRICS,
}  # fmt: skip
ALIKE = ["model", "batch_size", "prompt_tokens", "new_tokens"]


def load(directory: Path) -> dict[str, Any]:
    """A directory's summary: from its journal where there is one, else its summary.json (a merged directory)."""
    if (directory / "journal.jsonl").is_file():
        try:
            return summarise(directory)
        except (OSError, ValueError, KeyError, TypeError, BadSamples) as error:
            raise UserError(
                f"{directory}: what a launch left is missing or damaged ({type(error).__name__}: "
                f"{one_line(error)}): restore it, or measure into another --out"
            ) from error
    path = directory / report.SUMMARY
    if not path.is_file():
        raise UserError(f"{directory} holds neither journal.jsonl nor {report.SUMMARY}: not a results directory")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    schema = summary.get("schema") if isinstance(summary, dict) else None
    if schema != SCHEMA:
        raise UserError(f"{path} has schema {schema!r}, this suite reads schema {SCHEMA}")
    rows = summary.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= NEEDED for row in rows):
        raise UserError(f"{path} is damaged: rows, or what they need, are missing; restore it, or merge anew")
    return summary


def merge(directories: list[Path]) -> dict[str, Any]:
    """One summary with the rows of all. Raises UserError where rows that look alike did different work.

    Rows of different shapes or models go into tables of their own; rows whose model and shape have the same name but
    whose workload hash differs (other weights, other prompts) would end in one table and must not.
    """
    summaries = [load(directory) for directory in directories]
    runs = [run for summary in summaries for run in (summary.get("runs") or [summary["run"]])]
    rows, timeline = [], []
    for directory, summary in zip(directories, summaries, strict=True):
        timeline += [{"source": str(directory), **entry} for entry in summary.get("timeline") or []]
        rows += [{**row, "source": row.get("source", str(directory))} for row in summary["rows"]]
    _refuse_mixtures(pd.DataFrame(rows)[[*ALIKE, "workload", "source"]] if rows else pd.DataFrame())
    return {"schema": SCHEMA, "run": runs[-1], "runs": runs, "limits": None, "timeline": timeline, "rows": rows}


def _refuse_mixtures(frame: pd.DataFrame) -> None:
    if frame.empty:
        return
    for names, group in frame.dropna(subset=["workload"]).groupby(ALIKE):
        first = group.drop_duplicates("workload")
        if len(first) > 1:
            named = ", ".join(f"{row.source} has {row.workload}" for row in first.itertuples())
            shape = f"{names[0]}, batch {names[1]}, {names[2]} + {names[3]} tokens"
            raise UserError(
                f"not merged: rows for {shape} did different work (other model files or prompts): {named}; "
                "measure them anew with one version of the suite and the model"
            )
