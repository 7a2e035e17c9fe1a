"""The files of a results directory: summary.json, summary.csv, report.md and report.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.base import escape
from orchestrator.base.errors import UserError
from orchestrator.base.files import write_atomically
from orchestrator.report.markdown import render
from orchestrator.report.page import document
from orchestrator.results.metrics.registry import summarised
from orchestrator.results.summary import SUMMARY

CSV, REPORT = "summary.csv", "report.md"
NOT_IN_CSV = ("reproduce_commands", "loaded", "itl_quantiles", "log_tail")  # summary.json has them


def write(directory: Path, summary: dict[str, Any], matrix: str | None = None) -> Path:
    """Write summary.json, summary.csv, report.md and report.html into `directory`. Returns report.md's path."""
    write_atomically(directory / SUMMARY, as_text(summary))
    write_atomically(directory / CSV, as_csv(summary))
    path = directory / REPORT
    write_atomically(path, render(summary, matrix))
    document.write(directory, summary)
    return path


def where(path: Path) -> str:
    """The line that tells a user where the report is; `path` is that of report.md."""
    return f"report: {path.with_name(document.NAME)} (for a browser), {path}"


def as_text(summary: dict[str, Any]) -> str:
    """JSON with one row per line: indenting 10,000 rows takes longer than merging them."""
    head = {key: value for key, value in summary.items() if key != "rows"}
    rows = ",\n".join(json.dumps(row, allow_nan=False) for row in summary["rows"])
    return f'{json.dumps(head, allow_nan=False)[:-1]},\n"rows": [\n{rows}\n]}}\n'


def as_csv(summary: dict[str, Any]) -> str:
    """The rows as CSV that a spreadsheet opens safely."""
    return escape.csv_text(frame(summary["rows"]))


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One line per row, nested values as `decode_tps.median` and so on; lists and other trees as JSON text."""
    nested = {"quality", "gates", *(metric.field for metric in summarised())}
    flat = []
    for row in rows:
        line: dict[str, Any] = {}
        for key, value in row.items():
            if key in nested:
                line.update({f"{key}.{inner}": figure for inner, figure in (value or {}).items() if inner != "values"})
            elif key not in NOT_IN_CSV:
                line[key] = json.dumps(value) if isinstance(value, (dict, list)) else value
        flat.append(line)
    return pd.DataFrame(flat)


def check_directory(directory: Path, resume: bool) -> None:
    """Raises UserError where a run would overwrite results, or has none to resume."""
    journal = directory / "journal.jsonl"
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file: name another --out")
    if resume and not journal.is_file():
        raise UserError(f"--resume: {directory} holds no journal.jsonl; name the directory to continue with --out")
    if not resume and directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty: add --resume to continue there, or name another --out")
