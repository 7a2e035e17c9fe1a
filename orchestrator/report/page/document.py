"""Renders report.html."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from orchestrator.base.files import write_atomically
from orchestrator.report.charts import figures
from orchestrator.report.charts.figures import draw_figures
from orchestrator.report.page import embed
from orchestrator.report.page.failures import failures
from orchestrator.report.page.highlights import answers
from orchestrator.report.page.row_table import short, table
from orchestrator.report.tables import evidence
from orchestrator.results.row import by_workload, workload_title

NAME = "report.html"
TEMPLATES = Path(__file__).parent
WORKLOADS = 20  # that get answers and charts; the table has the rows of all
RUNS = 20  # of a merged directory that get a timeline


def write(directory: Path, summary: dict[str, Any]) -> Path:
    """Write report.html into `directory`. Returns its path."""
    path = directory / NAME
    write_atomically(path, render(summary))
    return path


def render(summary: dict[str, Any]) -> str:
    """The page: one HTML text that loads nothing."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"short": short, "moment": _moment}
    rows, runs = summary["rows"], summary.get("runs") or [summary["run"]]
    groups = by_workload(rows)
    shown = {key: groups[key] for key in list(groups)[:WORKLOADS]}
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    failed, unsupported, left_out = failures(rows)
    text = environment.get_template("page.html.j2").render(
        policy=embed.policy(script), script=Markup(script),
        style=_raw(embed.table_style() + (TEMPLATES / "page.css").read_text(encoding="utf-8")),
        libraries={name: embed.packed(name) for name in embed.LIBRARIES},
        runs=runs, rows=rows, outcomes=_outcomes(rows),
        workloads={key: workload_title(group[0]) for key, group in shown.items()},
        workloads_left_out=len(groups) - len(shown),
        answers={key: answers(group) for key, group in shown.items()},
        table=_raw(embed.as_json(table(rows))), charts=_charts(summary, shown),
        failed=failed, unsupported=unsupported, logs_left_out=left_out,
        limits=evidence.limits(summary.get("limits")), images=_images(runs),
        artefacts=sorted({row["artefact"] for row in rows if row.get("artefact")}),
    )  # fmt: skip
    return text.encode("utf-8", "replace").decode("utf-8")  # JSON may hold lone surrogates, which UTF-8 cannot encode


def _charts(summary: dict[str, Any], shown: dict[str, list]) -> list[dict[str, Any]]:
    """Each chart with its figures: [{"name", "title", "question", "figures": [{about, title, json | lacking}]}]."""
    sources = list(dict.fromkeys(entry.get("source") for entry in summary.get("timeline") or []))
    part = {
        **summary,
        "rows": [row for rows in shown.values() for row in rows],
        "timeline": [entry for entry in summary.get("timeline") or [] if entry.get("source") in sources[:RUNS]],
    }
    charts: dict[str, dict[str, Any]] = {}
    for drawn in draw_figures(part):
        chart = charts.setdefault(drawn.name, {
            "name": drawn.name, "title": drawn.title, "question": drawn.question, "figures": [],
            "by_workload": figures.CHARTS[drawn.name].scope == "workload",
            "left_out": max(0, len(sources) - RUNS) if figures.CHARTS[drawn.name].scope == "run" else 0,
        })  # fmt: skip
        figure = {
            "about": drawn.about,
            "title": drawn.about_title,
            "lacking": drawn.lacking,
            "json": None,
            "note": None,
        }
        if drawn.figure:
            note = drawn.figure["layout"]["title"].get("subtitle")
            figure |= {"json": _raw(embed.as_json(drawn.figure)), "note": note and note["text"]}
        chart["figures"].append(figure)
    return list(charts.values())


def _outcomes(rows: list[dict[str, Any]]) -> dict[str, int]:
    """The number of rows of each outcome, ok first."""
    words = sorted({row["outcome"] for row in rows}, key=lambda word: (word != "ok", word))
    return {word: sum(row["outcome"] == word for row in rows) for word in words}


def _moment(time: str) -> str:
    """A journal's timestamp for readers; other text is only shortened."""
    try:
        return datetime.fromisoformat(time).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, TypeError):
        return short(str(time), 40)


def _images(runs: list[dict[str, Any]]) -> dict[str, str]:
    return {tag: image for run in runs for tag, image in run["images"].items()}


def _raw(text: str) -> Any:
    """Marks text as safe to insert as it is: our own, a library's, or JSON from `embed.as_json`."""
    return Markup(text)
