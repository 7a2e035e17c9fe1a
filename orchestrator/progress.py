"""What the user sees while the suite works: lines that stay, and one status line that changes. All on stderr."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO


class Progress:
    """On a terminal the status line is rewritten in place; elsewhere it is printed at most every `every_s` seconds."""

    def __init__(self, stream: TextIO | None = None, every_s: float = 10.0, clock=time.monotonic):
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._every_s, self._clock = every_s, clock
        self._last = clock()
        self._dirty = False

    def say(self, text: str) -> None:
        """Print one line that stays."""
        self._clear()
        print(text, file=self._stream, flush=True)
        self._last = self._clock()

    def status(self, text: str) -> None:
        """Show what is going on right now."""
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r\x1b[K" + text[:width])
            self._stream.flush()
            self._dirty = True
        elif self._clock() - self._last >= self._every_s:
            print(text[:160], file=self._stream, flush=True)
            self._last = self._clock()

    def _clear(self) -> None:
        if self._dirty:
            self._stream.write("\r\x1b[K")
            self._dirty = False


def duration(seconds: float) -> str:
    """ "8 s", "3 min 05 s", "2 h 10 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
