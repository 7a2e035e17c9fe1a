"""The result of one check, with its remedy."""

from __future__ import annotations

from dataclasses import dataclass

STATUSES = ("ok", "warn", "fail", "absent")
NOTHING_TO_DO = "nothing to do"


@dataclass(frozen=True)
class Finding:
    """The result of one check. "absent": missing, but optional. Every status but "ok" comes with a remedy."""

    check: str
    status: str
    what: str
    remedy: str | None = None

    def __post_init__(self):
        if self.status not in STATUSES or (self.status != "ok" and not self.remedy):
            raise ValueError(f"{self.check}: status {self.status!r} with remedy {self.remedy!r}")
