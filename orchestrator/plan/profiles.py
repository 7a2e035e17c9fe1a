"""Profiles: how many launches and iterations, and how long anything may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How much is measured: launches per cell x measured iterations per launch, and which columns unless asked."""

    name: str
    launches: int
    repetitions: int
    is_measurement: bool
    precisions: str = "all"


PROFILES = {
    "quick": Profile("quick", 1, 3, False, "float32,int8"),  # a newcomer waits for it
    "standard": Profile("standard", 5, 5, True),
    "publish": Profile("publish", 10, 5, True),
}
UNQUANTISED = ("float32", "bfloat16", "float16")
WARMUP = {"min": 3, "max": 10, "span": 0.05, "max_s": 20}
NO_WARMUP = {"min": 0, "max": 0, "span": 0.05}
BUILD_S = 7200
HANG_S = 600.0
