"""What the user asked for."""

from __future__ import annotations

import random
from dataclasses import dataclass

from orchestrator.machine.detect import Device
from orchestrator.models.ready.entry import Entry
from orchestrator.plan.profiles import HANG_S, Profile


@dataclass(frozen=True)
class Request:
    """What is to be measured; every field is recorded in the journal."""

    device: Device
    model: str
    profile: Profile
    launches: int
    repetitions: int
    threads: int
    seed: int
    prompt: str | None
    wall_s: float
    with_quality: bool
    entry: Entry | None = None  # of the model, where ready-made checkpoints are asked for
    hang_s: float = HANG_S
    memory_limit: int | None = None  # bytes; None: the sandbox's own


def new_seed() -> int:
    """A seed for the order of launches, to be recorded."""
    return random.SystemRandom().randrange(2**31)
