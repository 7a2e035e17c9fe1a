"""The Rust program bench-candle (src/), compiled by build.sh, and its errors as exceptions."""

from __future__ import annotations

import sys

from common.engine import Unsupported

PROGRAM = f"{sys.prefix}/bin/bench-candle"


def failure(message: str) -> Exception:
    """The exception for an error that the program reports."""
    if message.startswith("unsupported: "):
        return Unsupported(message.removeprefix("unsupported: "))
    return RuntimeError(message)
