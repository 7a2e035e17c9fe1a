"""The page's charts as PNG or SVG files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UserError
from orchestrator.report.charts import style
from orchestrator.report.charts.figures import Drawn, draw_figures

FORMATS = ("png", "svg")
WIDTH, HEIGHT, LINE, FRAME = 900, 560, 24, 160  # pixels: of a figure, of one named line in it, and of what is around
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

    Returns the paths, and for each of the other charts the sentence why there is none. Fetches nothing from a network.
    Raises UserError where what draws is missing, and where no chart has anything to draw.
    """
    drawn = draw_figures(summary)
    found = [each for each in drawn if each.figure]
    lacking = list(dict.fromkeys(f"{each.title}: {each.lacking}" for each in drawn if not each.figure))
    if not found:
        raise UserError(f"there is no chart to write: {' '.join(lacking)}")
    paths = [directory / f"{name}.{form}" for name in _names(found)]
    figures = [
        {"fig": _placed(each), "path": str(path), "opts": {
            "format": form, "width": WIDTH, "height": _height(each.figure), "scale": 2 if form == "png" else 1,
        }}
        for each, path in zip(found, paths, strict=True)
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
    except Exception as error:  # whatever a browser may fail with
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"the charts could not be drawn by Chromium: {said}; try another --format") from error


def _placed(drawn: Drawn) -> dict[str, Any]:
    """The figure on white, with what it is about in its title."""
    layout = {**LIGHT, **drawn.figure["layout"]}
    if drawn.about_title:
        title = dict(layout["title"])
        title["text"] = f"{title['text']} · {style.plain(drawn.about_title, 100)}"
        layout["title"] = title
    return {"data": drawn.figure["data"], "layout": layout}


def _height(figure: dict[str, Any]) -> int:
    """High enough that the names on the first vertical axis stand apart."""
    names = {y for trace in figure["data"] for y in trace.get("y") or [] if isinstance(y, str)}
    low, high = (figure["layout"].get("yaxis") or {}).get("domain", (0, 1))
    return max(HEIGHT, round(LINE * len(names) / (high - low)) + FRAME)


def _names(found: list[Drawn]) -> list[str]:
    """File names; with a number for the second and later workload or run of a chart."""
    seen: dict[str, int] = {}
    names = []
    for each in found:
        base = re.sub(r"[^a-z0-9-]", "-", each.name)
        seen[base] = seen.get(base, 0) + 1
        names.append(base if seen[base] == 1 else f"{base}-{seen[base]}")
    return names
