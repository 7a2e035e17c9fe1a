"""Gate `tokens`: a launch generated exactly what was asked for, at possible times.

    fails if  steps != new_tokens (1 in the phases that look for a prefix cache)
    or        ids of a step != batch
    or        steps_ns[k + 1] < steps_ns[k], or steps_ns[0] < 0

in any sample of any phase; the first one at fault is named.
"""

from __future__ import annotations

import itertools

from common.contract import Sample

ONE_TOKEN = ("fresh", "repeat")  # the phases that look for a prefix cache


def token_audit(samples: list[Sample], batch: int, new_tokens: int) -> str:
    """The gate over all `samples`: `new_tokens` steps of `batch` ids each, with times that never run backwards."""
    for line, sample in enumerate(samples, 1):
        where, wanted = f"samples.jsonl line {line}", 1 if sample.phase in ONE_TOKEN else new_tokens
        if len(sample.ids) != wanted or len(sample.steps_ns) != wanted:
            return f"fail: {where} holds {len(sample.ids)} steps, {wanted} were asked for"
        if any(len(step) != batch for step in sample.ids):
            return f"fail: {where} has a step without {batch} tokens"
        times = [0, *sample.steps_ns]
        if any(later < earlier for earlier, later in itertools.pairwise(times)):
            return f"fail: {where}: step times run backwards"
    return "pass"
