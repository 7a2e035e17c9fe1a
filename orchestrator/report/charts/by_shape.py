"""Charts of a metric over the shape of the work, where several shapes were measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from orchestrator.report.charts import style
from orchestrator.report.charts.style import Figure
from orchestrator.report.formatting import milliseconds, speed
from orchestrator.results.row import Row

LINES = 30  # more would not be legible
DASHES = ("solid", "dash", "dot", "dashdot")
# A contender. Not the run, so that merged runs that differ only in the shape make one line.
WHO = ("engine", "variant", "model", "device", "machine", "isolation")


def latency_over_context(summary: dict[str, Any]) -> Figure | None:
    """x: prompt tokens; y: time to the first token in ms, one line for each contender and batch size."""
    return _over(
        summary, "Latency over context length", along="prompt_tokens", fixed=("batch_size", "new_tokens"),
        metric="ttft_s", scale=1000.0, titles=("prompt tokens", "time to first token, ms"),
        about=lambda row: f"{milliseconds(row['ttft_s'])} ms for {row['prompt_tokens']} prompt tokens",
    )  # fmt: skip


def throughput_over_batch(summary: dict[str, Any]) -> Figure | None:
    """x: batch size; y: decode speed of the whole batch, one line for each contender and prompt length."""
    return _over(
        summary, "Throughput over batch size", along="batch_size", fixed=("prompt_tokens", "new_tokens"),
        metric="decode_tps", scale=1.0, titles=("batch size", "decode of the whole batch, tokens/s"),
        about=lambda row: f"{speed(row)} tokens/s at batch {row['batch_size']}",
    )  # fmt: skip


def _who(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(key) for key in WHO)


def _over(
    summary: dict[str, Any], title: str, *, along: str, fixed: tuple[str, ...], metric: str, scale: float,
    titles: tuple[str, str], about: Callable[[Row], str],
) -> Figure | None:  # fmt: skip
    """One line for all rows that differ only in `along`."""
    lines: dict[tuple[Any, ...], list[Row]] = {}
    for row in summary["rows"]:
        if row["outcome"] == "ok" and row[metric]:
            lines.setdefault(tuple(row.get(key) for key in (*WHO, *fixed)), []).append(row)
    several = [rows for rows in lines.values() if len({row[along] for row in rows}) > 1]
    if not several:
        return None
    shown = sorted(several, key=lambda rows: -max(row["decode_tps"]["median"] for row in rows if row["decode_tps"]))
    shown = shown[:LINES]
    left_out = len(several) - len(shown)
    note = f"The {len(shown)} fastest of {len(several)} lines; the table has all." if left_out else None
    heads = [rows[0] for rows in shown]
    differing = [key for key in ("model", *fixed) if len({row[key] for row in heads}) > 1]
    contenders = {_who(row): row for row in heads}
    names = dict(zip(contenders, style.names(list(contenders.values())), strict=True))
    colours, data = style.colours(summary), []
    lines_drawn: Counter[str] = Counter()  # by engine
    for rows in shown:
        name = names[_who(rows[0])]
        ordered = sorted(rows, key=lambda row: row[along])
        values = [row[metric] for row in ordered]
        engine = ordered[0]["engine"]
        extra = ", ".join(f"{key.replace('_', ' ')} {ordered[0][key]}" for key in differing)
        full = style.plain(f"{name} ({extra})", 80) if extra else name
        data.append({
            "type": "scatter", "mode": "lines+markers", "name": full if extra else name,
            "x": [row[along] for row in ordered], "y": [scale * value["median"] for value in values],
            "error_y": style.error(values, scale), "hoverinfo": "text",
            "hovertext": [f"<b>{name}</b><br>" + style.hover(about(row), extra) for row in ordered],
            "line": {"color": colours[engine], "dash": DASHES[lines_drawn[engine] % len(DASHES)]},
            "marker": {"symbol": style.symbol(ordered[0]["precision"]), "size": 9},
        })  # fmt: skip
        lines_drawn[engine] += 1
    xs = sorted({x for trace in data for x in trace["x"]})
    return style.figure(
        title, data, note,
        xaxis={"title": {"text": titles[0]}, "type": "log" if xs[-1] > 8 * xs[0] else "linear", "tickvals": xs},
        yaxis=style.axis(titles[1], [y for trace in data for y in trace["y"]]),
    )  # fmt: skip
