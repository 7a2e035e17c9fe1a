"""The page's charts as PNG or SVG files."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UserError
from orchestrator.report.charts import style
from orchestrator.report.charts.figures import Figure, draw_figures

FORMATS = ("png", "svg")
WIDTH, HEIGHT, LINE, FRAME = 900, 560, 24, 160  # pixels: of a figure, of one named line in it, of its margins
LIGHT = {
    "template": {"layout": {"xaxis": {"gridcolor": "#e5e5e5", "zerolinecolor": "#b0b0b0", "automargin": True},
                            "yaxis": {"gridcolor": "#e5e5e5", "zerolinecolor": "#b0b0b0", "automargin": True}}},
    "paper_bgcolor": "white", "plot_bgcolor": "white",
    "font": {"family": "sans-serif", "size": 13, "color": "#1a1a1a"},
}  # fmt: skip
REMEDY = (
    "--format png and svg need the package kaleido and a Chromium or Chrome: "
    ".venv/bin/pip install 'kaleido>=1' && sudo apt-get install chromium"
)


def write(directory: Path, summary: dict[str, Any], form: str) -> tuple[list[Path], list[str]]:
    """Write one file for each chart that has something to draw.

    Returns (paths, the reasons why the other charts are missing). Uses no network. Raises UserError where kaleido or
    Chromium is missing, and where no chart has anything to draw.
    """
    charts = draw_figures(summary)
    drawn = [(chart, chart.figure) for chart in charts if chart.figure]
    lacking = list(dict.fromkeys(f"{chart.title}: {chart.lacking}" for chart in charts if not chart.figure))
    if not drawn:
        raise UserError(f"there is no chart to write: {' '.join(lacking)}")
    paths = [directory / f"{name}.{form}" for name in _file_names([chart.name for chart, _ in drawn])]
    figures = [
        {"fig": _on_white(figure, chart.about_title), "path": str(path), "opts": {
            "format": form, "width": WIDTH, "height": _height(figure), "scale": 2 if form == "png" else 1,
        }}
        for (chart, figure), path in zip(drawn, paths, strict=True)
    ]  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    _render(figures)
    return paths, lacking


def _render(figures: list[dict[str, Any]]) -> None:
    try:
        import kaleido  # noqa: PLC0415 - optional
        from choreographer.errors import ChromeNotFoundError  # noqa: PLC0415 - comes with kaleido
    except ImportError as error:
        raise UserError(REMEDY) from error
    try:
        kaleido.write_fig_from_object_sync(figures, kopts={"mathjax": False})  # MathJax would be fetched from a network
    except ChromeNotFoundError as error:
        raise UserError(REMEDY) from error
    except Exception as error:  # a browser fails in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"the charts could not be drawn by Chromium: {reason}; try another --format") from error


def _on_white(figure: Figure, about_title: str | None) -> Figure:
    """The figure on a white background, with its workload or run in the title."""
    layout = {**LIGHT, **figure["layout"]}
    if about_title:
        title = dict(layout["title"])
        title["text"] = f"{title['text']} · {style.plain(about_title, 100)}"
        layout["title"] = title
    return {"data": figure["data"], "layout": layout}


def _height(figure: Figure) -> int:
    """Such that the names on the first vertical axis do not overlap."""
    names = {y for trace in figure["data"] for y in trace.get("y") or [] if isinstance(y, str)}
    low, high = (figure["layout"].get("yaxis") or {}).get("domain", (0, 1))
    return max(HEIGHT, round(LINE * len(names) / (high - low)) + FRAME)


def _file_names(chart_names: list[str]) -> list[str]:
    """File names without suffix, numbered from the second workload or run of a chart on."""
    counts: Counter[str] = Counter()
    names = []
    for chart_name in chart_names:
        base = re.sub(r"[^a-z0-9-]", "-", chart_name)
        counts[base] += 1
        names.append(base if counts[base] == 1 else f"{base}-{counts[base]}")
    return names
