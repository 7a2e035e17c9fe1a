"""The generated parts of README.md and docs/: tables and references that are not edited by hand.

A part lies between two marks. The first names its function in PARTS, and that function's arguments:

    <!-- generated: published-table interval 2026-11-21-cpu-llama-160m (./benchmark.sh list --update) -->
    ...
    <!-- end of generated part -->

Also generated: the pictures in docs/pictures/, one for each published run and theme, and the JSON Schemas in
docs/schemas/.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.base import escape
from orchestrator.base.errors import UserError, unknown
from orchestrator.base.files import write_atomically
from orchestrator.base.outcomes import Flag, Outcome
from orchestrator.plan.engine import DEVICES, Engine
from orchestrator.report import exports, formatting, picture
from orchestrator.report.tables import record_fields, speed, support_matrix
from orchestrator.report.tables.markdown_table import pipe_table
from orchestrator.results import merge
from orchestrator.results.metrics.metric import Group, Metric
from orchestrator.results.metrics.registry import METRICS
from orchestrator.results.row import Row, by_workload
from orchestrator.results.row_record import GROUPS

_PART = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w-]+)(?P<arguments>[^()\n]*) \(\./benchmark\.sh list --update\) -->\n)"
    r".*?(?P<end><!-- end of generated part -->)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Sources:
    """The sources of the parts: a checkout, its engines except the test-only ones, and the command reference."""

    root: Path
    engines: list[Engine]
    command_line: str

    @cached_property
    def published(self) -> dict[str, dict[str, Any]]:
        """The summary of every published run, by the name of its folder, oldest first."""
        folders = sorted(path.parent for path in (self.root / "results" / "published").glob("*/summary.json"))
        return {folder.name: merge.load(folder) for folder in folders}

    def run(self, name: str) -> dict[str, Any]:
        """The summary of one published run. Raises UserError where there is none of that name."""
        if name not in self.published:
            raise unknown("published run", name, self.published)
        return self.published[name]


def update(sources: Sources, file: Path | None = None) -> list[Path]:
    """Write the parts of one file, or of README.md and docs/ with the pictures. Returns the files that changed.

    Raises UserError where `file` has no generated part, or where a mark names something that does not exist.
    """
    rendered = {file: _renewed(sources, file)} if file else render(sources)
    if file and not _PART.search(rendered[file]):
        raise UserError(f"{file} has no generated part: see the marks in docs/engines/matrix.md")
    changed = [
        path for path, text in rendered.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in changed:
        write_atomically(path, rendered[path])
    return changed


def render(sources: Sources) -> dict[Path, str]:
    """The up-to-date text of every picture, JSON Schema, and page of README.md and docs/ with a generated part."""
    pictures = {
        sources.root / "docs" / "pictures" / f"{name}-{theme}.svg": picture.draw(summary, colours)
        for name, summary in sources.published.items()
        for theme, colours in picture.THEMES.items()
    }
    schemas = {
        sources.root / "docs" / "schemas" / f"{name}.json": record_fields.as_json(name) for name in record_fields.FILES
    }
    pages = [sources.root / "README.md", *sorted((sources.root / "docs").rglob("*.md"))]
    return (
        pictures
        | schemas
        | {page: _renewed(sources, page) for page in pages if _PART.search(page.read_text(encoding="utf-8"))}
    )


def _renewed(sources: Sources, page: Path) -> str:
    """The text of `page` with all of its generated parts regenerated."""

    def part(mark: re.Match[str]) -> str:
        if mark["name"] not in PARTS:
            raise unknown("generated part", mark["name"], PARTS)
        text = PARTS[mark["name"]](sources, page, *mark["arguments"].split())
        return f"{mark['begin']}\n{text.strip()}\n\n{mark['end']}"

    return _PART.sub(part, page.read_text(encoding="utf-8"))


def _engines(sources: Sources, page: Path) -> str:
    """One line per engine: a link to its page, its version, and a sign for each kind of device."""
    to_root = Path(*[".."] * (len(page.resolve().relative_to(sources.root.resolve()).parts) - 1))
    lines = [
        [
            f"[{escape.escape(engine.title)}]({(to_root / engine.folder.name / 'README.md').as_posix()})",
            escape.escape(engine.version),
            *(_sign(engine, device) for device in DEVICES),
        ]
        for engine in sources.engines
    ]
    return pipe_table(pd.DataFrame(lines, columns=["Engine", "Version", *DEVICES]), escaped=False)


def _sign(engine: Engine, device: str) -> str:
    entry = engine.devices.get(device)
    if entry is None or not entry.support.runs:
        return "–"
    return "✓" if entry.verified else "?"


def _support_matrix(sources: Sources, _page: Path) -> str:
    return support_matrix.devices_markdown(sources.engines, "## {}")


def _architectures(sources: Sources, _page: Path) -> str:
    return support_matrix.architectures_markdown(sources.engines)


def _outcomes(_sources: Sources, _page: Path) -> str:
    return _vocabulary(Outcome)


def _flags(_sources: Sources, _page: Path) -> str:
    return _vocabulary(Flag)


def _vocabulary(words: Iterable[Outcome | Flag]) -> str:
    """Each word with its meaning and its remedy."""
    lines = [[f"`{word}`", escape.escape(word.sentence), escape.escape(word.remedy)] for word in words]
    return pipe_table(pd.DataFrame(lines, columns=["word", "meaning", "what to do"]), escaped=False)


def _row(_sources: Sources, _page: Path) -> str:
    """The fields of a row by group, in their order."""
    lines = [
        [", ".join(f"`{field.name}`" for field in fields(group)), " ".join((inspect.getdoc(group) or "").split())]
        for group in GROUPS.values()
    ]
    return pipe_table(pd.DataFrame(lines, columns=["fields of a row", "meaning"]), escaped=False)


def _glossary(_sources: Sources, _page: Path) -> str:
    """Every metric with its names in options and files, and its meaning."""
    lines = [
        [escape.escape(metric.title), _names(metric), escape.escape(metric.meaning)]
        for metric in sorted(METRICS.values(), key=lambda metric: metric.title.lower())
    ]
    return pipe_table(pd.DataFrame(lines, columns=["metric", "in options and files", "meaning"]), escaped=False)


def _metrics(_sources: Sources, _page: Path, group: str) -> str:
    """How the metrics of one group are computed."""
    if group not in Group.__members__:
        raise unknown("group of metrics", group, Group.__members__)
    lines = [
        [f"`{metric.field or metric.key}`", metric.formula, metric.unit_name, metric.source]
        for metric in METRICS.values()
        if metric.group is Group[group]
    ]
    return pipe_table(pd.DataFrame(lines, columns=["metric", "formula", "unit", "source"]), escaped=False)


def _names(metric: Metric) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(filter(None, (metric.key, metric.field, metric.limit))))


def _command_line(sources: Sources, _page: Path) -> str:
    return sources.command_line


def _published_table(sources: Sources, _page: Path, name: str, run: str) -> str:
    """The tables of a published run that `report --table NAME` prints, without headings and notes."""
    tables = exports.collect(sources.run(run), sources.engines, name)
    return "\n\n".join(pipe_table(table.frame.rename(columns=escape.escape)) for table in tables)


def _published_overview(sources: Sources, _page: Path, run: str) -> str:
    """Engine x precision: speed / peak memory of each precision's fastest variant, for engines with any number."""
    [rows] = by_workload(sources.run(run)["rows"]).values()
    measured = {row["title"] for row in rows if row["outcome"] == "ok"}
    fastest: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row["title"] not in measured:
            continue
        key = row["title"], row["precision"]
        if key not in fastest or _speed(row) > _speed(fastest[key]):
            fastest[key] = row
    return pipe_table(speed.grid([row | {"variant": row["precision"]} for row in fastest.values()], _speed_memory))


def _speed(row: Row) -> float:
    return row["decode_tps"]["median"] if row["outcome"] == "ok" and row["decode_tps"] else 0.0


def _speed_memory(row: Row) -> str:
    if row["outcome"] != "ok":
        return row["outcome"]
    return f"{formatting.number(row['decode_tps']['median'])} / {formatting.number(METRICS['memory'].read(row).value)}"


def _fields(_sources: Sources, _page: Path, name: str, record: str | None = None) -> str:
    """The fields of a file that is declared in code, or of one of its records."""
    return record_fields.as_table(name, record)


PARTS: dict[str, Callable[..., str]] = {
    "fields": _fields,
    "engines": _engines,
    "support-matrix": _support_matrix,
    "architectures": _architectures,
    "outcomes": _outcomes,
    "flags": _flags,
    "row": _row,
    "glossary": _glossary,
    "metrics": _metrics,
    "command-line": _command_line,
    "published-table": _published_table,
    "published-overview": _published_overview,
}
