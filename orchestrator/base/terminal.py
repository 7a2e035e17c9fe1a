"""Consoles and tables for a terminal."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text
from tabulate import MIN_PADDING, tabulate

from orchestrator.base.escape import plain

WIDTH = 100  # columns of what is printed as data, also where the terminal is wider or there is none
_INTERVAL = re.compile(r"\[[^\[\]]*\]")
_NO_BREAK = "\N{NO-BREAK SPACE}"


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
    lines = [
        [_INTERVAL.sub(lambda found: found[0].replace(" ", _NO_BREAK), str(cell)) for cell in line] for line in lines
    ]
    widths, bodies, least = [], [], []
    for number, head in enumerate(heads):
        cells = [line[number] for line in lines]
        bodies.append(max([len(part) for cell in cells for part in cell.split("\n")], default=0))
        words = [len(word) for cell in cells for word in re.split("[ \n]", cell)]
        widths.append(max(len(head) + MIN_PADDING, bodies[-1]))
        least.append(max([max(map(len, head.split()), default=0) + MIN_PADDING, *words]))

    # A head that is wider than all below it comes first: to wrap it lengthens the table by one line. What is wrapped
    # already is narrowed by some more before another column is wrapped, too.
    def cheap(number: int) -> tuple[bool, int]:
        return widths[number] > bodies[number], widths[number] + 4 * (widths[number] < bodies[number])

    while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        wider = [number for number, width in enumerate(widths) if width > least[number]]
        if not wider:
            break
        widths[max(wider, key=cheap)] -= 1
    folded = [textwrap.fill(head, max(1, width - MIN_PADDING)) for head, width in zip(heads, widths, strict=True)]
    return tabulate(lines, folded, disable_numparse=True, maxcolwidths=widths).replace(_NO_BREAK, " ")


def text(content: object, style: str = "") -> Text:
    """`content` as plain text in one style."""
    return Text(plain(content), style=style)
