"""What a signal may end, and what it may not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: what runs is stopped, the journal is closed."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not tear a journal line or leave a container behind."""
    before = [(each, signal.signal(each, signal.SIG_IGN)) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)


@contextmanager
def postponed() -> Iterator[None]:
    """For a step that must not be cut in two: an interrupt that comes meanwhile is raised at its end."""
    came: list[int] = []
    before = [
        (each, signal.signal(each, lambda number, _frame: came.append(number)))
        for each in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
    if came:
        raise KeyboardInterrupt
