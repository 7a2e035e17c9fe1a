"""The chart of a run's launches over time, with the state of the machine below."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.report.charts import style
from orchestrator.report.charts.style import Figure
from orchestrator.report.formatting import number

LAUNCHES = 2000
GOOD, BAD, NOISY = "#3ca951", "#d62f2f", "#e0a100"
STATES = (  # key of an entry's state, title of its axis
    ("foreign_cpu_share", "others' CPU, % of a core"),
    ("steal_share", "stolen CPU, % of a core"),
    ("bandwidth_gbs", "bandwidth, GB/s"),
    ("cpu_mhz", "CPU clock, MHz"),
    ("sm_clock_mhz", "GPU clock, MHz"),
    ("temperature_c", "temperature, °C"),
    ("power_w", "power, W"),
)
PERCENT = ("foreign_cpu_share", "steal_share")


def timeline(summary: dict[str, Any]) -> Figure | None:
    """Bars: the launches of one run over time, a line for each row; below, one panel for each known machine state."""
    dated = [(begin, entry) for entry in summary.get("timeline") or [] if (begin := _seconds(entry["started"]))]
    dated = sorted((launch for launch in dated if launch[1]["wall_s"]), key=lambda launch: launch[0])
    if not dated:
        return None
    stride, note = -(-len(dated) // LAUNCHES), None
    entries = dated[::stride]
    if stride > 1:
        note = f"{len(dated)} launches are too many to draw: every {stride}th is shown."
    zero = entries[0][0]
    minutes = [(begin - zero) / 60 for begin, _ in entries]
    names = list(dict.fromkeys(_name(entry) for _, entry in entries))
    lines = names if len(names) <= style.BARS else []  # else one line for all, since names would not be legible
    places = {name: number for number, name in enumerate(reversed(lines))}
    bars = {
        "type": "bar", "orientation": "h", "showlegend": False, "hoverinfo": "text", "base": minutes,
        "x": [entry["wall_s"] / 60 for _, entry in entries],
        "y": [places.get(_name(entry), 0) for _, entry in entries],
        "marker": {"color": [_colour(entry) for _, entry in entries], "line": {"width": 0}},
        "hovertext": [_about(entry) for _, entry in entries], "width": 0.7,
    }  # fmt: skip
    states = [(key, title) for key, title in STATES if any(entry["state"].get(key) is not None for _, entry in entries)]
    panels, axes, height = _panels(entries, minutes, states), {}, max(110, 20 * max(1, len(lines)) + 30)
    whole = height + 110 * len(states)
    for index, (_, title) in enumerate(states):
        top = (110 * (len(states) - index) - 26) / whole
        axes[f"yaxis{index + 2}"] = {
            "title": {"text": title.replace(", ", "<br>"), "font": {"size": 11}}, "rangemode": "tozero", "nticks": 4,
            "domain": [top - 78 / whole, top], "automargin": True,
        }  # fmt: skip
    legend = [_key("ok", GOOD), _key("ok, others were busy", NOISY), _key("failed", BAD)]
    return style.figure(
        "The run and the machine", [bars, *panels, *legend], note, height=whole + 130, barmode="overlay",
        yaxis={"domain": [1 - height / whole, 1], "automargin": True, "tickvals": list(places.values()),
               "ticktext": list(places)},
        xaxis={"title": {"text": f"minutes since {entries[0][1]['started'][:19].replace('T', ' ')} UTC"},
               "anchor": f"y{len(states) + 1}" if states else "y"},
        **axes,
    )  # fmt: skip


def _panels(
    entries: list[tuple[float, dict[str, Any]]], minutes: list[float], states: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    panels = []
    for index, (key, title) in enumerate(states):
        scale, color = 100 if key in PERCENT else 1, style.COLOURS[index % len(style.COLOURS)]
        points = [
            (minute + entry["wall_s"] / 120, scale * entry["state"][key], entry)
            for minute, (_, entry) in zip(minutes, entries, strict=True)
            if entry["state"].get(key) is not None
        ]
        panels.append({
            "type": "scatter", "mode": "lines+markers", "yaxis": f"y{index + 2}", "showlegend": False,
            "x": [point[0] for point in points], "y": [point[1] for point in points],
            "line": {"width": 1, "color": color}, "marker": {"size": 5, "color": color}, "hoverinfo": "text",
            "hovertext": [f"<b>{_name(entry)}</b><br>" + style.hover(f"{title}: {number(value)}")
                          for _, value, entry in points],
        })  # fmt: skip
    return panels


def _key(name: str, color: str) -> dict[str, Any]:
    """A legend entry: a trace without points."""
    return {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": name, "hoverinfo": "skip",
            "marker": {"symbol": "square", "size": 10, "color": color}}  # fmt: skip


def _colour(entry: dict[str, Any]) -> str:
    if entry["outcome"] != "ok":
        return BAD
    return NOISY if entry["noisy"] else GOOD


def _name(entry: dict[str, Any]) -> str:
    return style.plain(f"{entry['title']} {entry['variant']}")


def _about(entry: dict[str, Any]) -> str:
    return f"<b>{_name(entry)}</b><br>" + style.hover(
        f"launch {entry['block'] + 1}: {entry['outcome']}" + (", others were busy" if entry["noisy"] else ""),
        f"{entry['started']}, {number(entry['wall_s'])} s",
    )


def _seconds(started: str | None) -> float | None:
    try:
        return datetime.fromisoformat(str(started)).timestamp()
    except ValueError:
        return None
