"""One timed iteration. The only clock is CLOCK_MONOTONIC, so a jump of the wall clock cannot change a result."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


class TokenAudit(Exception):
    """The engine did not yield exactly the steps and tokens that were requested."""


@dataclass
class Iteration:
    """Raw times of one iteration: step k's tokens reached the host `steps_ns[k]` nanoseconds after the submit.

    `start_ns` is the submit on CLOCK_MONOTONIC, the clock of the host's own records.
    """

    start_ns: int
    steps_ns: list[int]
    ids: list[list[int]]  # [new_tokens][batch]


def time_iteration(
    generate: Callable[[list[list[int]], int], Iterator[list[int]]], prompts: list[list[int]], new_tokens: int
) -> Iteration:
    """Run `generate` on prompts [batch][tokens] once and read the clock after every step.

    The loop body is two list appends and a clock read (well under a microsecond). The garbage collector is disabled
    meanwhile: a collection in the middle of a step once showed up as a p99.
    Raises TokenAudit where the number of steps, or of tokens in a step, is not the one requested.
    """
    now = time.monotonic_ns
    times: list[int] = []
    steps: list[list[int]] = []
    gc.collect()
    gc.disable()
    try:
        submitted = now()
        for step in generate(prompts, new_tokens):
            times.append(now())
            steps.append(step)
    finally:
        gc.enable()
    audit(steps, len(prompts), new_tokens)
    return Iteration(submitted, [t - submitted for t in times], [[int(token) for token in step] for step in steps])


def audit(steps: list[list[int]], batch: int, new_tokens: int) -> None:
    """Raises TokenAudit unless there are exactly `new_tokens` steps of exactly `batch` tokens."""
    if len(steps) != new_tokens:
        raise TokenAudit(f"token audit: {len(steps)} decode steps were yielded, {new_tokens} were asked for")
    for number, step in enumerate(steps):
        if len(step) != batch:
            raise TokenAudit(f"token audit: step {number} carries {len(step)} tokens for a batch of {batch}")


def is_steady(durations: list[float], span: float) -> bool:
    """True when the last three durations span at most `span` (0.05 = 5 %) of their median."""
    if len(durations) < 3:
        return False
    low, middle, high = sorted(durations[-3:])
    return high - low <= span * middle
