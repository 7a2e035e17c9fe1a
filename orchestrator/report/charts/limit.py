"""The chart of how near each row comes to the device's measured limits."""

from __future__ import annotations

from typing import Any

from orchestrator.report.charts import style
from orchestrator.report.charts.style import Figure
from orchestrator.report.charts.tradeoffs import decode
from orchestrator.report.formatting import number, percent, utilisation


def limit(summary: dict[str, Any]) -> Figure | None:
    """Bars: MBU by row, the best on top, with the limit as a line at 100 %; diamonds: MFU of prefill."""
    rated = [row for row in summary["rows"] if row["outcome"] == "ok" and row["mbu"] is not None]
    if not rated:
        return None
    rows = sorted(rated, key=lambda row: row["mbu"])[-style.BARS :]
    note = f"The {len(rows)} best of {len(rated)} rows; the table has all." if len(rows) < len(rated) else None
    colours, names, positions = style.colours(summary), style.names(rows), list(range(len(rows)))
    about = [
        f"<b>{name}</b><br>"
        + style.hover(
            f"MBU {percent(row['mbu'], 1)}: {number(decode(row))} tokens/s",
            f"of {number(row['bandwidth_gbs'])} GB/s measured beside it",
            f"MFU of prefill {utilisation(row['mfu'], 1)} ({row.get('mfu_dtype')})" if row["mfu"] is not None else None,
        )
        for name, row in zip(names, rows, strict=True)
    ]
    bars = {
        "type": "bar", "orientation": "h", "name": "MBU of decoding", "x": [100 * row["mbu"] for row in rows],
        "y": positions, "marker": {"color": [colours[row["engine"]] for row in rows]}, "showlegend": False,
        "text": [percent(row["mbu"]) for row in rows], "textposition": "inside", "insidetextanchor": "start",
        "insidetextfont": {"color": "#ffffff"}, "hoverinfo": "text", "hovertext": about,
    }  # fmt: skip
    prefill = [(position, row) for position, row in zip(positions, rows, strict=True) if row["mfu"] is not None]
    diamonds = {
        "type": "scatter", "mode": "markers", "name": "MFU of prefill", "x": [100 * row["mfu"] for _, row in prefill],
        "y": [position for position, _ in prefill], "hoverinfo": "text",
        "hovertext": [about[position] for position, _ in prefill],
        "marker": {"symbol": "diamond", "size": 9, "color": "#ffffff", "line": {"color": "#333333", "width": 1.5}},
    }  # fmt: skip
    line = {
        "type": "line", "x0": 100, "x1": 100, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": "#d62f2f", "width": 2, "dash": "dash"},
    }  # fmt: skip
    most = max([100.0, *(100 * row["mbu"] for row in rows), *(100 * row["mfu"] for _, row in prefill)])
    return style.figure(
        "Fraction of the hardware's limit", [bars, diamonds] if prefill else [bars], note,
        height=140 + 26 * len(rows), shapes=[line],
        annotations=[{"x": 100, "y": 0, "yref": "paper", "yanchor": "bottom", "xanchor": "right",
                      "text": "measured limit ", "showarrow": False, "font": {"color": "#d62f2f"}}],
        xaxis={"title": {"text": "% of the measured limit"}, "range": [0, 1.06 * most]},
        yaxis={"tickvals": positions, "ticktext": names, "automargin": True},
    )  # fmt: skip
