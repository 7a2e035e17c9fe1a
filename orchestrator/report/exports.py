"""Exports the tables of a summary as text: for a terminal, Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from tabulate import LATEX_ESCAPE_RULES

from orchestrator.base import escape
from orchestrator.base.errors import UserError, unknown
from orchestrator.base.terminal import grid
from orchestrator.plan.engine import DEVICES, Engine
from orchestrator.report import formatting
from orchestrator.report.tables import evidence, memory, relative, speed, support_matrix, versions
from orchestrator.report.tables.markdown_table import pipe_table
from orchestrator.results import row
from orchestrator.results.row import Row

LONG = 40  # lines; a longer LaTeX table may break over pages


@dataclass(frozen=True)
class Table:
    """One table of a workload or device; `notes` are keyed by their mark in a cell, "" for the whole table."""

    name: str
    title: str
    about: str
    frame: pd.DataFrame
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """The table behind a name of --table; `make` and `note` take one workload's rows and the baseline asked for."""

    title: str
    make: Callable[[list[Row], str | None], pd.DataFrame]
    note: Callable[[list[Row], str | None], str] | str = ""


def _grid(text: Callable[[Row], str]) -> Callable[[list[Row], str | None], pd.DataFrame]:
    return lambda rows, _baseline: speed.grid(rows, text)


KINDS = {
    "speed": Kind("Decode tokens/s, mean ± standard deviation", _grid(formatting.mean_std)),
    "interval": Kind("Decode tokens/s, median of launches [interval]", _grid(formatting.speed)),
    "memory": Kind("Memory, MiB", _grid(formatting.memory), "Weights as loaded / peak on the host + mapped files."),
    "settings": Kind("Settings", relative.settings, relative.settings_note),
    "precisions": Kind("Data types", relative.precisions, relative.precisions_note),
    "machines": Kind("Decode tokens/s by machine", lambda rows, _baseline: relative.machines(rows)),
    "devices": Kind(
        "CPU against accelerator", lambda rows, _baseline: relative.cpu_against_accelerator(rows),
        relative.OUTLIERS,
    ),
    "order": Kind("Order by decode speed", lambda rows, _baseline: speed.ranking(rows)),
    "evidence": Kind("Evidence", lambda rows, _baseline: evidence.evidence(rows)),
    "latency": Kind("Latency and cold start", lambda rows, _baseline: speed.detail(rows)),
    "split": Kind("Where memory goes, MiB", lambda rows, _baseline: memory.memory_split(rows)),
    "failures": Kind("Cells without a number", lambda rows, _baseline: evidence.failures(rows)),
}  # fmt: skip
EMPTY = {
    "machines": "the results are of one machine; `merge` those of several",
    "devices": "no variant ran on both a CPU and an accelerator; `merge` the results of both",
}
NAMES = (*KINDS, "support", "history")


def collect(
    summary: dict[str, Any], engines: list[Engine], name: str = "all", baseline: str | None = None
) -> list[Table]:
    """The tables called `name`, one per workload; `all` is every table that has lines, except the history.

    Raises UserError for an unknown name or baseline, and where the table asked for has no line.
    """
    if name not in ("all", *NAMES):
        raise unknown("table", name, ("all", *NAMES))
    rows = summary["rows"]
    relative.check_baseline(rows, baseline)
    if name == "support":
        return support(engines)
    if name == "history":
        tables = [
            Table("history", "History", title, versions.table(lines), {"": versions.NOTE})
            for title, lines in versions.lines(rows).items()
        ]
    else:
        wanted = KINDS if name == "all" else {name: KINDS[name]}
        groups = row.by_workload(rows)
        tables = [_table(key, kind, group, baseline) for group in groups.values() for key, kind in wanted.items()]
        tables = [table for table in tables if len(table.frame)]
    if not tables:
        raise UserError(f"--table {name} has no line here: {EMPTY.get(name, 'no row of the results belongs in it')}")
    return tables + (support(engines) if name == "all" else [])


def support(engines: list[Engine]) -> list[Table]:
    """The support matrix, a table for each kind of device."""
    tables = []
    for device in DEVICES:
        frame, notes = support_matrix.frame(engines, device)
        marks = {"": support_matrix.LEGEND, **{f"[{number}]": note for number, note in enumerate(notes, 1)}}
        tables.append(Table("support", "Support matrix", device, frame, marks))
    return tables


def _table(name: str, kind: Kind, rows: list[Row], baseline: str | None) -> Table:
    note = kind.note if isinstance(kind.note, str) else kind.note(rows, baseline)
    about = row.workload_title(rows[0])
    return Table(name, kind.title, about, kind.make(rows, baseline), {"": note} if note else {})


def as_table(tables: list[Table]) -> str:
    """For a terminal."""
    parts = []
    for table in tables:
        cells = table.frame.map(escape.visible)
        body = grid(list(cells.columns), cells.to_numpy().tolist())
        head, notes = f"{table.title}: {escape.visible(table.about)}", map(escape.visible, _marked_notes(table))
        parts.append("\n".join([head, body, *notes]))
    return "\n\n".join(parts) + "\n"


def as_markdown(tables: list[Table]) -> str:
    """Headings, pipe tables and notes; all texts are escaped except for the addresses in notes."""
    parts = []
    for table in tables:
        parts.append(f"### {table.title}: {escape.escape(table.about)}")
        parts.append(pipe_table(table.frame.rename(columns=escape.escape)))
        parts.append("\n".join(f"{_markdown_note(note)}  " for note in _marked_notes(table)))
    return "\n\n".join(part for part in parts if part) + "\n"


def as_csv(tables: list[Table]) -> str:
    """One block of lines per name, separated by blank lines; the first two columns name the table of a line.

    The last column holds the notes of the line.
    """
    blocks: dict[str, list[pd.DataFrame]] = {}
    for table in tables:
        frame = table.frame.copy()
        frame.insert(0, "Table", table.name)
        frame.insert(1, "Of", table.about)
        frame["About"] = [
            " ".join(
                f"{mark} {note}".strip() for mark, note in table.notes.items() if any(mark in cell for cell in line)
            )
            for line in table.frame.to_numpy()
        ]
        blocks.setdefault(table.name, []).append(frame)
    return "\n".join(escape.csv_text(pd.concat(frames).fillna("")) for frames in blocks.values())


def as_json(tables: list[Table]) -> str:
    """{"tables": [{"name", "title", "about", "columns", "rows", "notes"}]}; cells are texts as in the other formats."""
    return json.dumps({
        "tables": [
            {"name": table.name, "title": table.title, "about": table.about, "columns": list(table.frame.columns),
             "rows": table.frame.to_dict("records"), "notes": _marked_notes(table)}
            for table in tables
        ]
    }, indent=1, ensure_ascii=False, allow_nan=False)  # fmt: skip


def as_latex(tables: list[Table]) -> str:
    """Tables with captions; the preamble needs booktabs, and longtable for tables of more than LONG lines."""
    parts = ["% \\usepackage{booktabs,longtable}; UTF-8"]
    for table in tables:
        frame = table.frame.map(latex).rename(columns=latex)
        caption = " ".join(map(latex, [f"{table.title}: {table.about}.", *_marked_notes(table)]))
        parts.append(
            frame.style.hide(axis="index").to_latex(
                hrules=True, caption=caption, column_format="l" * len(frame.columns),
                environment="longtable" if len(frame) > LONG else None,
            )
        )  # fmt: skip
    return "\n".join(parts)


def latex(text: object) -> str:
    """Text without LaTeX commands; the lines of a cell are joined by semicolons."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    plain = "".join(
        LATEX_ESCAPE_RULES.get(character, character) for character in "; ".join(lines) if character.isprintable()
    )
    return "{}" + plain if plain.startswith(("[", "*")) else plain  # after \\ these would be its arguments


FORMATS = {"table": as_table, "markdown": as_markdown, "csv": as_csv, "json": as_json, "latex": as_latex}


def _marked_notes(table: Table) -> list[str]:
    return [f"{mark} {note}".strip() for mark, note in table.notes.items()]


def _markdown_note(note: str) -> str:
    """Escaped except for plain addresses, which a backslash would break."""
    parts = re.split(r"(https?://[\w./#%?=&~:+-]+)", note)
    return "".join(part if number % 2 else escape.escape(part) for number, part in enumerate(parts))
