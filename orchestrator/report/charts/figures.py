"""The charts, as Plotly figures (plain dicts of "data" and "layout"), for the page and for pictures.

for drawn in draw_figures(summary):
    drawn.name, drawn.title, drawn.about    # "speed-quality", "Speed against quality", the workload's hash
    drawn.figure or drawn.lacking           # the figure, or the sentence why there is none
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrator.report.charts import by_shape, limit, over_time, run_course, spread, tradeoffs
from orchestrator.results.row import by_workload, workload_title

Figure = dict[str, Any]


class Chart(NamedTuple):
    """`build` takes a summary and returns a figure, or None where `lacking` says why.

    `scope` is what one figure covers: the rows of a "workload", the launches of a "run", or "all" rows.
    """

    title: str
    build: Callable[[dict[str, Any]], Figure | None]
    question: str
    lacking: str
    scope: str


class Drawn(NamedTuple):
    """One chart of one workload, run or summary."""

    name: str
    title: str
    question: str
    about: str | None  # the workload's hash or the run's directory; None for a figure of all rows
    about_title: str | None
    figure: Figure | None
    lacking: str


CHARTS: dict[str, Chart] = {
    "speed-quality": Chart(
        "Speed against quality", tradeoffs.speed_quality,
        "Which row is fast and still says what the model says? Up and to the right is better; the line joins the rows "
        "that no other row beats in both.",
        "No row has both a speed and a top-1 agreement with the float32 reference.", "workload",
    ),
    "memory-speed": Chart(
        "Memory against speed", tradeoffs.memory_speed,
        "What does speed cost in memory? Up and to the left is better; the line joins the rows that no other row beats "
        "in both.",
        "No row has both a speed and a peak of memory.", "workload",
    ),
    "limit": Chart(
        "Fraction of the hardware's limit", limit.limit,
        "How much of what the memory can deliver does decoding use (MBU, bars), and how much of the measured peak of "
        "matrix products does prefill use (MFU, diamonds)? 100 % is this device's measured limit.",
        "No row has a share of the limit: no bandwidth was measured, or all that is read fits the cache.", "workload",
    ),
    "step-times": Chart(
        "Step times", spread.step_times,
        "How even is the stream of tokens? The box holds the middle half of all measured steps.",
        "No row has step times: nothing streamed, or the results are of an earlier version of the suite.", "workload",
    ),
    "launches": Chart(
        "Launch to launch", spread.launches,
        "How far apart are launches of the same row? Each point is a launch's median over its row's.",
        "No row has more than one launch.", "workload",
    ),
    "context": Chart(
        "Latency over context length", by_shape.latency_over_context,
        "How does the time to the first token grow with the prompt?",
        "Only one prompt length was measured: run again with another --prompt-tokens, and merge the results.", "all",
    ),
    "batch": Chart(
        "Throughput over batch size", by_shape.throughput_over_batch,
        "What do larger batches bring?",
        "Only one batch size was measured: --batch-sizes 1,4,16 measures several.", "all",
    ),
    "history": Chart(
        "History", over_time.over_time,
        "Has an engine become faster or slower from version to version? A line is one machine's.",
        "No row was measured twice: `merge --store FILE.duckdb` collects runs, and `report FILE.duckdb` draws them.",
        "workload",
    ),
    "timeline": Chart(
        "The run and the machine", run_course.timeline,
        "When did each launch run, and what did the machine do meanwhile?",
        "The launches' times are not known: the results are of an earlier version of the suite.", "run",
    ),
}  # fmt: skip


def draw_figures(summary: dict[str, Any]) -> list[Drawn]:
    """Every chart of every workload and run, in the order of CHARTS, including those with nothing to draw."""
    engines = list(dict.fromkeys(row["engine"] for row in summary["rows"]))  # so that an engine's colour is the same
    drawn = []
    for name, chart in CHARTS.items():
        for about, title, part in _parts(summary, chart.scope):
            figure = chart.build({**part, "engines": engines})
            drawn.append(Drawn(name, chart.title, chart.question, about, title, figure, chart.lacking))
    return drawn


def _parts(summary: dict[str, Any], scope: str) -> list[tuple[str | None, str | None, dict[str, Any]]]:
    """(about, its title, the summary restricted to its rows or launches) of every figure of a chart."""
    if scope == "workload":
        groups = by_workload(summary["rows"])
        return [(key, workload_title(rows[0]), {**summary, "rows": rows}) for key, rows in groups.items()]
    if scope == "run":
        launches: dict[str | None, list[dict[str, Any]]] = {}
        for entry in summary.get("timeline") or []:
            launches.setdefault(entry.get("source"), []).append(entry)
        return [(key, key, {**summary, "timeline": entries}) for key, entries in (launches or {None: []}).items()]
    return [(None, None, summary)]
