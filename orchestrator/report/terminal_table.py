"""The result on a terminal: one line per row, at most 100 columns."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from orchestrator.base import escape
from orchestrator.base.outcomes import OUTCOMES, known_flags
from orchestrator.base.terminal import console, text
from orchestrator.report.formatting import cell
from orchestrator.results.metrics.registry import on_terminal
from orchestrator.results.row import by_workload, contender, telling, workload_title


def terminal(summary: dict[str, Any]) -> str:
    """The result for a terminal: one line per row, at most 100 columns; notes and failures below.

    Coloured where stdout is a terminal that supports it. Names of engines and models are shown as plain text.
    """
    screen = console()
    with screen.capture() as printed:
        for rows in by_workload(summary["rows"]).values():
            screen.print(text(workload_title(rows[0]), "bold"))
            screen.print(_speeds(rows))
        for flag in known_flags(sorted({word for row in summary["rows"] for word in row["flags"]})):
            screen.print(text(f"note: {flag.note}", "yellow"))
        for row in summary["rows"]:
            if OUTCOMES[row["outcome"]].is_failure:
                reason = f"{row['engine']} {row['variant']}: {row['outcome']}: {escape.first_line(row['reason'])}"
                screen.print(text(reason[:200], "red"))
    return "\n".join(line.rstrip() for line in printed.get().rstrip().split("\n"))


def _speeds(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head, width in (("engine", 22), ("precision", 9), ("variant", 16)):
        table.add_column(head, max_width=width, overflow="fold")
    metrics = on_terminal()
    for metric in metrics:
        table.add_column(f"{metric.short}\n{metric.display}", justify="right", overflow="fold")
    keys = telling(rows)
    for row in rows:
        style = {"ok": "", "unsupported": "bright_black"}.get(row["outcome"], "red")
        cells = [contender(row, keys), row["precision"], row["variant"], *(cell(metric, row) for metric in metrics)]
        table.add_row(*(text(content, style) for content in cells))
    return table
