"""Common parts of the charts: colours, symbols, names as plain text, thinning of too many points."""

from __future__ import annotations

from typing import Any

from orchestrator.base import escape
from orchestrator.plan.engine import PRECISIONS
from orchestrator.results.row import Row, row_names

# Observable's categorical colours: distinct with colour blindness, and legible on white and on black
COLOURS = ("#4269d0", "#e0a100", "#ff725c", "#3ca951", "#a463f2", "#1fa3a8", "#e0609a", "#9c6b4e", "#7a9a01", "#8b93a5")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star")
NAME, HOVER = 40, 120  # characters
POINTS = 1500  # more slow a browser down, since they are SVG
BARS = 40

Figure = dict[str, Any]


def plain(text: object, limit: int = NAME) -> str:
    """Text escaped for Plotly, which interprets tags and entities in every text, and does not wrap it."""
    return escape.markup_line(text, limit)


def names(rows: list[Row]) -> list[str]:
    """Each row's name among these rows, as a chart shows it."""
    return [plain(name) for name in row_names(rows)]


def colours(summary: dict[str, Any]) -> dict[str, str]:
    """A colour by engine, the same on every chart of a page."""
    engines = summary.get("engines") or list(dict.fromkeys(row["engine"] for row in summary["rows"]))
    return {engine: COLOURS[number % len(COLOURS)] for number, engine in enumerate(engines)}


def symbol(precision: str) -> str:
    """A marker by precision."""
    return SYMBOLS[PRECISIONS.index(precision) % len(SYMBOLS)] if precision in PRECISIONS else "x"


def hover(*lines: str | None) -> str:
    """A hover text; every line escaped, empty ones left out."""
    return "<br>".join(plain(line, HOVER) for line in lines if line)


def error(values: list[dict[str, Any]], scale: float = 1.0) -> dict[str, Any]:
    """Plotly's asymmetric error bars from intervals; of length 0 for a value without one."""
    up = [0 if value["high"] is None else scale * (value["high"] - value["median"]) for value in values]
    down = [0 if value["low"] is None else scale * (value["median"] - value["low"]) for value in values]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1, "width": 3}


def thinned(rows: list[Row], kept: list[Row], limit: int = POINTS) -> tuple[list[Row], str | None]:
    """(about `limit` rows at most, evenly spaced and with `kept` among them, the note that says so)."""
    if len(rows) <= limit:
        return rows, None
    kept_ids = {id(row) for row in kept[:limit]}
    stride = -(-len(rows) // limit)
    taken = [row for number, row in enumerate(rows) if number % stride == 0 or id(row) in kept_ids]
    return taken, f"{len(rows)} rows are too many to draw: every {stride}th and the front are shown; the table has all."


def axis(title: str, values: list[float], span: float = 30, **more: Any) -> dict[str, Any]:
    """A linear axis, or a logarithmic one where the values span more than a factor of `span`."""
    positive = [value for value in values if value > 0]
    wide = len(positive) == len(values) and positive and max(positive) > span * min(positive)
    return {"title": {"text": title}, "type": "log" if wide else "linear", "exponentformat": "none", **more}


def figure(title: str, data: list[dict[str, Any]], note: str | None = None, **layout: Any) -> Figure:
    """A figure in the common layout; `note` is its subtitle."""
    heading = {"text": title, **({"subtitle": {"text": note}} if note else {})}
    return {"data": rounded(data), "layout": {
        "title": heading, "hovermode": "closest", "margin": {"l": 60, "r": 20, "t": 90 if note else 70, "b": 50},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}, **rounded(layout),
    }}  # fmt: skip


def rounded(value: Any) -> Any:
    """The same tree with floats of five significant digits, to keep the page small."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def legend_of_symbols(rows: list[Row]) -> list[dict[str, Any]]:
    """Traces without points that explain the symbols of the precisions in `rows`."""
    precisions = [precision for precision in PRECISIONS if any(row["precision"] == precision for row in rows)]
    if len(precisions) < 2:
        return []
    return [
        {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": precision, "hoverinfo": "skip",
         "marker": {"symbol": symbol(precision), "color": "#8b93a5", "size": 9}}
        for precision in precisions
    ]  # fmt: skip
