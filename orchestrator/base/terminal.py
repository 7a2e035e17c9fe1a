"""Consoles and tables for a terminal."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.base.escape import plain

WIDTH = 100  # columns of printed data, whatever the terminal's width
_INTERVAL = re.compile(r"\[[^\[\]]*\]")
_GLUE = "\ue000"  # replaces a space where a cell must not wrap; Rich wraps even at no-break spaces
GAP = 2  # columns between two columns of a table


def is_terminal(stream: TextIO, env: Mapping[str, str] | None = None) -> bool:
    """Whether `stream` is a terminal that can rewrite and colour lines."""
    env = os.environ if env is None else env
    return stream.isatty() and env.get("TERM", "").lower() not in ("dumb", "unknown")


def console(stream: TextIO | None = None, env: Mapping[str, str] | None = None, width: int | None = WIDTH) -> Console:
    """A console that interprets no markup. `width` None: the terminal's width.

    Colours only on a terminal that supports them; NO_COLOR is honoured (https://no-color.org).
    """
    stream, env = stream or sys.stdout, os.environ if env is None else env
    is_capable = is_terminal(stream, env)
    return Console(
        file=stream,
        force_terminal=is_capable,
        no_color=bool(env.get("NO_COLOR")),
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
        color_system="standard" if is_capable else None,
        legacy_windows=False,
        _environ=env,
    )


def grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of at most WIDTH columns where the longest words and intervals allow it; wide columns are wrapped."""
    glued = [[_INTERVAL.sub(_unwrapped, str(cell)) for cell in line] for line in lines]
    widths = _widths(heads, glued)
    table = Table.grid(padding=(0, GAP, 0, 0))
    for width in widths:
        table.add_column(width=width, overflow="fold")
    for line in (heads, ["-" * width for width in widths], *glued):
        table.add_row(*map(Text, line))
    screen = console(io.StringIO(), {}, sum(widths) + GAP * len(widths))
    with screen.capture() as printed:
        screen.print(table)
    return "\n".join(line.rstrip() for line in printed.get().replace(_GLUE, " ").rstrip().split("\n"))


def _unwrapped(interval: re.Match[str]) -> str:
    return interval[0].replace(" ", _GLUE)


def _widths(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    """The columns' widths. Shrinks first the columns whose head is the widest cell, then those already wrapped."""
    widths, bodies, minimums = [], [], []
    for head, *cells in zip(heads, *lines, strict=True):
        bodies.append(max((cell_len(part) for cell in cells for part in cell.split("\n")), default=0))
        widths.append(max(cell_len(head), bodies[-1]))
        minimums.append(max(cell_len(word) for cell in [head, *cells] for word in re.split("[ \n]", cell)))

    def cheapness(number: int) -> tuple[bool, int]:
        return widths[number] > bodies[number], widths[number] + 4 * (widths[number] < bodies[number])

    while sum(widths) + GAP * (len(widths) - 1) > WIDTH:
        wider = [number for number, width in enumerate(widths) if width > minimums[number]]
        if not wider:
            break
        widths[max(wider, key=cheapness)] -= 1
    return widths


def text(content: object, style: str = "") -> Text:
    """`content` as plain text in one style."""
    return Text(plain(content), style=style)
