"""Progress on stderr: permanent lines, and below them one changing line per running task.

Nothing is drawn between two calls: a thread that animates a spinner would disturb the measurement.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.base import terminal
from orchestrator.base.escape import plain
from orchestrator.base.files import GIB

SAY_EVERY_S = 10.0  # often enough for people, rarely enough for a log


class ByteProgress:
    """Prints percentage and time left every `every_s` seconds. Thread-safe."""

    def __init__(self, what: str, total: int, say: Callable[[str], None], every_s: float | None = None):
        """`what`: description of the work; `total`: in bytes."""
        self.what, self.total, self.say = what, total, say
        self.every_s = SAY_EVERY_S if every_s is None else every_s
        self.done = 0
        self.start = self.last = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        """Count `count` more bytes as done."""
        with self._lock:
            self.done += count
            now = time.monotonic()
            if now - self.last < self.every_s or not 0 < self.done <= self.total:
                return
            self.last = now
            share = self.done / self.total
            remaining = (now - self.start) * (1 - share) / share
        self.say(f"{self.what}: {share:4.0%} of {self.total / GIB:.1f} GiB, about {remaining:.0f} s left")


UNNAMED = ""
BAR_COLUMNS = 30
PLAIN_COLUMNS = 160


class Progress:
    """On a terminal status lines are rewritten in place; elsewhere each is printed at most every `every_s` seconds.

    Thread-safe. Text may come from an engine or a log, so control sequences are removed.
    """

    def __init__(
        self, stream: TextIO | None = None, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ):
        self._stream = stream or sys.stderr
        self._every_s, self._clock = every_s, clock
        self._printed: dict[str, float] = {}  # without a terminal: task → time of its last line
        self._last = clock()
        self._lines: dict[str, Text | Table] = {}
        self._lock = threading.RLock()
        self._console: Console | None = None
        self._live: Live | None = None
        self._ended = False
        if terminal.is_terminal(self._stream):
            self._console = terminal.console(self._stream, width=None)

    def say(self, text: str) -> None:
        """Print a permanent line. It replaces the unnamed status."""
        with self._lock:
            self._last = self._clock()
            if self._console is None:
                print(plain(text), file=self._stream, flush=True)
                return
            self._lines.pop(UNNAMED, None)
            self._draw()
            self._console.print(Text(plain(text)), soft_wrap=True)

    def status(self, text: str, task: str = UNNAMED, keep: bool = False) -> None:
        """Show the current activity; concurrent tasks have a line each.

        With `keep` it is printed without a terminal in any case, as a step that belongs into a log.
        """
        with self._lock:
            if self._console is not None:
                self._lines[task] = Text(_one_line(text), no_wrap=True, overflow="ellipsis", style="dim")
                self._draw()
            else:
                self._print_now_and_then(_one_line(text)[:PLAIN_COLUMNS], task, keep)

    def bar(self, done: int, total: int, text: str, task: str) -> None:
        """Show a progress bar. Only on a terminal: elsewhere `say` reports the same."""
        with self._lock:
            if self._console is None:
                return
            line = Table.grid(padding=(0, 1))
            line.add_row(
                ProgressBar(total, done, width=BAR_COLUMNS),
                Text(f"{done}/{total} {_one_line(text)}", no_wrap=True, overflow="ellipsis"),
            )
            self._lines[task] = line
            self._draw()

    def done(self, task: str) -> None:
        """Remove the line of `task`."""
        with self._lock:
            self._printed.pop(task, None)
            if self._lines.pop(task, None) is not None:
                self._draw()

    def end(self) -> None:
        """Remove all lines for good: threads that still build after Ctrl-C show nothing."""
        with self._lock:
            self._lines.clear()
            self._draw()
            self._ended = True

    def _print_now_and_then(self, text: str, task: str, keep: bool) -> None:
        now = self._clock()
        last = self._last if task == UNNAMED else self._printed.setdefault(task, now)
        if keep or now - last >= self._every_s:
            print(text, file=self._stream, flush=True)
            self._last = self._printed[task] = now

    def _draw(self) -> None:
        """Redraw the lines. Without any, release the terminal, so that a table can follow."""
        if self._ended or self._console is None:
            return
        if not self._lines:
            if self._live is not None:
                self._live.stop()
                self._live = None
            return
        if self._live is None:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
            self._console.show_cursor(True)  # a killed process would leave it hidden
        self._live.update(Group(*self._lines.values()), refresh=True)


def _one_line(text: str) -> str:
    """`text` on one line, for a status."""
    return " ".join(plain(text).split("\n")).expandtabs(1)


def duration(seconds: float) -> str:
    """ "8 s", "3 min 05 s", "2 h 10 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
