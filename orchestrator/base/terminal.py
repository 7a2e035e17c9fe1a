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

WIDTH = 100  # columns of what is printed as data, also where the terminal is wider or there is none
_INTERVAL = re.compile(r"\[[^\[\]]*\]")
_GLUE = "\ue000"  # stands for a space at which a cell is not wrapped; Rich wraps at no-break spaces, too
GAP = 2  # columns between two columns of a table


def is_terminal(stream: TextIO, env: Mapping[str, str] | None = None) -> bool:
    """Whether `stream` is a terminal on which lines can be rewritten and coloured."""
    env = os.environ if env is None else env
    return stream.isatty() and env.get("TERM", "").lower() not in ("dumb", "unknown")


def console(stream: TextIO | None = None, env: Mapping[str, str] | None = None, width: int | None = WIDTH) -> Console:
    """A console that takes text literally. `width` None is the terminal's; otherwise `width` even where it is wider.

    Colours only on a terminal that takes them; NO_COLOR is honoured (https://no-color.org).
    """
    stream, env = stream or sys.stdout, os.environ if env is None else env
    able = is_terminal(stream, env)
    return Console(
        file=stream, force_terminal=able, no_color=bool(env.get("NO_COLOR")), width=width, markup=False, emoji=False,
        highlight=False, color_system="standard" if able else None, legacy_windows=False,
        _environ=env,
    )  # fmt: skip


def grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of at most WIDTH columns, the widest wrapped, as far as the longest words and intervals allow."""
    glued = [[_INTERVAL.sub(_without_spaces, str(cell)) for cell in line] for line in lines]
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


def _without_spaces(interval: re.Match[str]) -> str:
    return interval[0].replace(" ", _GLUE)


def _widths(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    """The columns' widths. A head that is wider than all below it is wrapped first: that costs one line.

    What is wrapped already is narrowed by some more before another column is wrapped, too.
    """
    widths, bodies, least = [], [], []
    for head, *cells in zip(heads, *lines, strict=True):
        bodies.append(max((cell_len(part) for cell in cells for part in cell.split("\n")), default=0))
        widths.append(max(cell_len(head), bodies[-1]))
        least.append(max(cell_len(word) for cell in [head, *cells] for word in re.split("[ \n]", cell)))

    def cheapness(number: int) -> tuple[bool, int]:
        return widths[number] > bodies[number], widths[number] + 4 * (widths[number] < bodies[number])

    while sum(widths) + GAP * (len(widths) - 1) > WIDTH:
        wider = [number for number, width in enumerate(widths) if width > least[number]]
        if not wider:
            break
        widths[max(wider, key=cheapness)] -= 1
    return widths


def text(content: object, style: str = "") -> Text:
    """`content` as plain text in one style."""
    return Text(plain(content), style=style)
