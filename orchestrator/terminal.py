"""Consoles, and text that a terminal may be given: nothing in it is markup, and nothing in it moves the cursor."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text
from tabulate import MIN_PADDING, tabulate  # the spaces that it leaves after a head

WIDTH = 100  # columns of what is printed as data, also where the terminal is wider or there is none
# CSI, OSC and the other strings of ECMA-48, with their 7-bit and 8-bit beginnings; then every two-byte escape.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.MULTILINE,
)
# What is left of C0 and C1, and the marks that turn the direction of writing; tab and newline stay.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INTERVAL = re.compile(r"\[[^\[\]]*\]")
_NO_BREAK = "\N{NO-BREAK SPACE}"


def plain(text: object) -> str:
    """`text` without escape sequences, control characters and marks of direction; tabs and newlines stay.

    Of a line that was rewritten in place (`\\r`, as progress bars do) what was written last is left.
    """
    lines = _ESCAPES.sub("", str(text)).replace("\r\n", "\n").split("\n")
    return "\n".join(_CONTROLS.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in lines)


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
