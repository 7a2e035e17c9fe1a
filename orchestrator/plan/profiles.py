"""Profiles: numbers of launches and iterations, and the default time limits."""

from __future__ import annotations

from dataclasses import dataclass

from common.contract import WarmupRule


@dataclass(frozen=True)
class Profile:
    """How much is measured: launches per cell, measured iterations per launch, and the default columns."""

    name: str
    launches: int
    repetitions: int
    is_measurement: bool
    precisions: str = "all"


PROFILES = {
    "quick": Profile("quick", 1, 3, False, "float32,int8"),  # short: a newcomer waits for it
    "standard": Profile("standard", 5, 5, True),
    "publish": Profile("publish", 10, 5, True),
}
UNQUANTISED = ("float32", "bfloat16", "float16")
WARMUP = WarmupRule(min=3, max=10, span=0.05, max_s=20)
BUILD_S = 7200
HANG_S = 600.0
