"""summary.json, summary.csv, report.md and report.html of a results directory, and the table on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from rich import box
from rich.table import Table

from orchestrator import markdown, spreadsheet, tables, tables_relative, texts
from orchestrator.models.store import write_atomically
from orchestrator.page import document
from orchestrator.terminal import console, text

SUMMARY, CSV, REPORT = "summary.json", "summary.csv", "report.md"
DETAILS_LIMIT = 60  # beyond, reproduction commands stay in the launches' own folders
WIDE = 14  # columns; a table of more machines is left to `report --table machines`
NESTED = ("decode_tps", "prefill_tps", "e2e_tps", "ttft_s", "itl_s", "quality", "gates")
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
    """The line that tells a user where `write` has put the report."""
    return f"report: {path.with_name(document.NAME)} (for a browser), {path}"


def as_text(summary: dict[str, Any]) -> str:
    """JSON with one row a line: indented, 10,000 rows took longer to write than to merge."""
    head = {key: value for key, value in summary.items() if key != "rows"}
    rows = ",\n".join(json.dumps(row, allow_nan=False) for row in summary["rows"])
    return f'{json.dumps(head, allow_nan=False)[:-1]},\n"rows": [\n{rows}\n]}}\n'


def as_csv(summary: dict[str, Any]) -> str:
    """The rows as a spreadsheet may open them."""
    return spreadsheet.csv_text(frame(summary["rows"]))


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One line a row, nested values as `decode_tps.median` and so on; lists and other trees as JSON text."""
    flat = []
    for row in rows:
        line: dict[str, Any] = {}
        for key, value in row.items():
            if key in NESTED:
                line.update({f"{key}.{inner}": each for inner, each in (value or {}).items() if inner != "values"})
            elif key not in NOT_IN_CSV:
                line[key] = json.dumps(value) if isinstance(value, (dict, list)) else value
        flat.append(line)
    return pd.DataFrame(flat)


def render(summary: dict[str, Any], matrix: str | None = None) -> str:
    """report.md as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters["md"] = markdown.escape
    runs = summary.get("runs") or [summary["run"]]
    rows = summary["rows"]
    ok = [row for row in rows if row["outcome"] == "ok"]
    return environment.get_template("report.md.j2").render(
        title="LLM inference benchmark",
        runs=runs,
        images={tag: image for run in runs for tag, image in run["images"].items()},
        groups=[_group(workload, group) for workload, group in tables.by_workload(rows).items()],
        matrix=matrix,
        limits=tables.limits(summary.get("limits")),
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
    machines = tables_relative.machines(rows)
    return {
        "title": tables.workload_title(rows[0]),
        "workload": workload,
        "interval": interval,
        "speed": markdown.table(tables.grid(rows, texts.speed)),
        "mean": markdown.table(tables.grid(rows, texts.mean_std)),
        "split": markdown.table(tables.memory_split(rows)),
        "memory": markdown.table(tables.grid(rows, texts.memory)),
        "settings": markdown.table(tables_relative.settings(rows)),
        "settings_note": tables_relative.settings_note(rows),
        "precisions": _unless_empty(tables_relative.precisions(rows)),
        "machines": _unless_empty(machines) if len(machines.columns) <= WIDE else None,
        "devices": _unless_empty(tables_relative.cpu_against_accelerator(rows)),
        "outliers": tables_relative.OUTLIERS,
        "detail": markdown.table(tables.detail(rows)),
        "ranking": markdown.table(tables.ranking(rows)),
        "evidence": markdown.table(tables.evidence(rows)),
        "flags": [
            (flag, texts.NOTES[flag])
            for flag in sorted({f for row in rows for f in row["flags"]})
            if flag in texts.NOTES
        ],
        "ready_made": _unless_empty(tables.ready_made(rows)),
        "failures": _unless_empty(tables.failures(rows)),
    }


def _unless_empty(found: pd.DataFrame) -> str | None:
    return markdown.table(found.rename(columns=markdown.escape)) if len(found) else None


def terminal(summary: dict[str, Any]) -> str:
    """The result for a terminal: one line a row, at most 100 columns; below it what a reader must know.

    Coloured where stdout is a terminal that takes it. What engines and models are named is shown as plain text.
    """
    screen = console()
    with screen.capture() as printed:
        for rows in tables.by_workload(summary["rows"]).values():
            screen.print(text(tables.workload_title(rows[0]), "bold"))
            screen.print(_speeds(rows))
        for flag in sorted({flag for row in summary["rows"] for flag in row["flags"]}):
            if flag in texts.NOTES:
                screen.print(text(f"note: {texts.NOTES[flag]}", "yellow"))
        for row in summary["rows"]:
            if row["outcome"] not in ("ok", "unsupported"):
                reason = f"{row['engine']} {row['variant']}: {row['outcome']}: {texts.first_line(row['reason'])}"
                screen.print(text(reason[:200], "red"))
    return "\n".join(line.rstrip() for line in printed.get().rstrip().split("\n"))


def _speeds(rows: list[dict[str, Any]]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head, width in (("engine", 22), ("precision", 9), ("variant", 16)):
        shown.add_column(head, max_width=width, overflow="fold")
    for head in ("decode tok/s", "TTFT ms", "weights MiB", "peak MiB"):
        shown.add_column(head, justify="right", overflow="fold")
    keys = tables.telling(rows)
    for row in rows:
        style = {"ok": "", "unsupported": "bright_black"}.get(row["outcome"], "red")
        cells = [
            tables.contender(row, keys), row["precision"], row["variant"], texts.speed(row),
            texts.milliseconds(row["ttft_s"]), texts.number(row["weights_mib"]), texts.number(row["peak_host_mib"]),
        ]  # fmt: skip
        shown.add_row(*(text(cell, style) for cell in cells))
    return shown
