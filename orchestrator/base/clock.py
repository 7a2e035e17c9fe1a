"""The time as the suite writes it."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> str:
    """The time as the journal writes it: UTC, ISO 8601, in seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
