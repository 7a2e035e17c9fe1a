"""A picture of a result, as SVG for a README: every row's decode speed with its interval, grouped by engine.

It is drawn without a chart library, because those need a browser to write a file, and because the file is kept in git:
the same summary must give the same bytes on every machine.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.engine import PRECISIONS
from orchestrator.report.formatting import number
from orchestrator.results.row import Row, by_workload, workload_title

WIDTH = 860  # pixels, as are all lengths here
PLOT_LEFT, PLOT_RIGHT = 290, 770
TOP, LINE, GAP, BOTTOM = 92, 15, 7, 46
TICKS = (1, 2, 5)  # steps between the axis's labels, times a power of ten
MOST_TICKS = 8
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Theme:
    """Colours of one background; `precisions` in the order of PRECISIONS, chosen to differ with colour blindness."""

    background: str
    text: str
    faint: str
    line: str
    precisions: tuple[str, ...]


THEMES = {
    "light": Theme(
        "#ffffff", "#1f2328", "#59636e", "#d8dee4",
        ("#3b5bdb", "#0e8a9d", "#2b8a3e", "#8a63d2", "#c77700", "#d6336c"),
    ),
    "dark": Theme(
        "#0d1117", "#e6edf3", "#9198a1", "#2f363d",
        ("#8da6ff", "#4fd0e0", "#6fd685", "#c0a0ff", "#f0a945", "#ff80a8"),
    ),
}  # fmt: skip


def draw(summary: dict[str, Any], theme: Theme) -> str:
    """The rows of the summary's first workload that have a speed, the engine with the fastest row first.

    Raises ValueError where no row has a speed.
    """
    workload = next(iter(by_workload(summary["rows"]).values()), [])
    groups = _groups([row for row in workload if row["outcome"] == "ok" and row["decode_tps"]])
    if not groups:
        raise ValueError("no row of the results has a speed to draw")
    rows = [row for group in groups for row in group]
    step = _tick_step(max(_high(row) for row in rows))
    scale = (PLOT_RIGHT - PLOT_LEFT) / (step * -(-max(_high(row) for row in rows) // step))
    height = TOP + LINE * len(rows) + GAP * len(groups) + BOTTOM
    parts = [*_heading(summary, rows, theme), *_axis(step, scale, height, theme)]
    y = TOP
    for group in groups:
        parts.append(_text(12, y + LINE - 4, group[0]["title"], theme.text, weight=600))
        for row in group:
            parts += _bar(row, y + LINE / 2, scale, theme)
            y += LINE
        y += GAP
    return "\n".join([_open(rows[0], height, theme), *parts, "</svg>"]) + "\n"


def _groups(rows: list[Row]) -> list[list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["title"], []).append(row)
    return sorted(groups.values(), key=lambda group: -max(row["decode_tps"]["median"] for row in group))


def _high(row: Row) -> float:
    return max(row["decode_tps"]["median"], row["decode_tps"]["high"] or 0.0)


def _tick_step(largest: float) -> float:
    """The smallest step of 1, 2 or 5 times a power of ten that gives at most MOST_TICKS labels."""
    power = 10.0 ** (len(str(int(largest))) - 2)
    steps = [tick * factor * power for factor in (1, 10, 100) for tick in TICKS]
    return next(step for step in steps if largest / step <= MOST_TICKS)


def _open(row: Row, height: float, theme: Theme) -> str:
    about = html.escape(workload_title(row))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH} {height:g}" font-family="{FONT}" role="img">\n'
        f"<title>Decode speed of each engine and variant, {about}</title>\n"
        f'<rect width="100%" height="100%" rx="6" fill="{theme.background}"/>'
    )


def _heading(summary: dict[str, Any], rows: list[Row], theme: Theme) -> list[str]:
    """Title, the work and the machine, and the legend of precisions."""
    run = summary.get("run") or summary["runs"][0]
    machine = f"{run['device']['name']}, {run['threads']} threads, {run['started'][:10]}"
    launches = max(row["launches"] for row in rows)
    parts = [
        _text(
            12, 26, f"Decode speed in tokens/s: median of {launches} launches, and its interval", theme.text, 16, 600
        ),
        _text(12, 46, f"{workload_title(rows[0])}; {machine}", theme.faint, 12),
    ]
    x = PLOT_LEFT
    for precision in PRECISIONS:
        if any(row["precision"] == precision for row in rows):
            parts.append(f'<circle cx="{x}" cy="68" r="4" fill="{_colour(precision, theme)}"/>')
            parts.append(_text(x + 8, 72, precision, theme.text, 12))
            x += 84
    return parts


def _axis(step: float, scale: float, height: float, theme: Theme) -> list[str]:
    parts, bottom = [], height - BOTTOM
    for index in range(round((PLOT_RIGHT - PLOT_LEFT) / scale / step) + 1):
        x = PLOT_LEFT + index * step * scale
        parts.append(f'<path d="M{x:.1f} {TOP - 6}V{bottom:g}" stroke="{theme.line}"/>')
        parts.append(_text(x, bottom + 16, f"{index * step:g}", theme.faint, 11, anchor="middle"))
    return [*parts, _text(PLOT_LEFT, bottom + 34, "tokens/s of the whole batch after its first token", theme.faint, 11)]


def _bar(row: Row, y: float, scale: float, theme: Theme) -> list[str]:
    """One row: its variant, the interval as a bar, the median as a dot, the figure behind it."""
    speed, colour = row["decode_tps"], _colour(row["precision"], theme)
    x, end = PLOT_LEFT + speed["median"] * scale, PLOT_LEFT + _high(row) * scale
    parts = [_text(PLOT_LEFT - 12, y + 4, row["variant"], theme.faint, 11, anchor="end")]
    if speed["low"] is not None:
        start = PLOT_LEFT + speed["low"] * scale
        parts.append(
            f'<path d="M{start:.1f} {y:g}H{end:.1f}" stroke="{colour}" stroke-width="5" stroke-opacity="0.35" '
            'stroke-linecap="round"/>'
        )
    parts.append(f'<circle cx="{x:.1f}" cy="{y:g}" r="4" fill="{colour}"/>')
    return [*parts, _text(end + 9, y + 4, number(speed["median"]), theme.text, 11)]


def _colour(precision: str, theme: Theme) -> str:
    return theme.precisions[PRECISIONS.index(precision)]


def _text(x: float, y: float, text: str, fill: str, size: int = 12, weight: int = 400, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:g}" fill="{fill}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{html.escape(text)}</text>'
    )
