"""One timed iteration. The only clock is CLOCK_MONOTONIC: a jump of the wall clock cannot change a result."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


class TokenAudit(Exception):
    """The engine did not yield exactly the steps and tokens that were asked for."""


@dataclass
class Iteration:
    """Raw times of one iteration: `steps_ns[k]` is when step k's tokens reached the host, after the submit.

    `start_ns` is the submit on CLOCK_MONOTONIC, which the host's own records share.
    """

    start_ns: int
    steps_ns: list[int]
    ids: list[list[int]]  # [new_tokens][batch]


def time_iteration(
    generate: Callable[[list[list[int]], int], Iterator[list[int]]], prompts: list[list[int]], new_tokens: int
) -> Iteration:
    """Run `generate` once and take the time after every step.

    The loop body is two list appends and a clock read (well under a microsecond), and Python's garbage collector is
    kept out of it: a collection in the middle of a step once showed up as a p99.
    Raises TokenAudit if the number of steps, or of tokens in a step, is not what was asked for.
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
    """Exactly `new_tokens` steps of exactly `batch` tokens: nothing padded, nothing missing. Raises TokenAudit."""
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
