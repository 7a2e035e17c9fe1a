"""Signal handling: when SIGINT and SIGTERM interrupt, and when they do not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run like Ctrl-C: the task is stopped, the journal is closed."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore signals: a second Ctrl-C must not cut a journal line or leave a container behind."""
    handlers = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)


@contextmanager
def postponed() -> Iterator[None]:
    """Raise an interrupt that arrives during the body at its end, for a step that must not be split."""
    received: list[int] = []
    handlers = [
        (signal_number, signal.signal(signal_number, lambda number, _frame: received.append(number)))
        for signal_number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    finally:
        for signal_number, handler in handlers:
            signal.signal(signal_number, handler)
    if received:
        raise KeyboardInterrupt
