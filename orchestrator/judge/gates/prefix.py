"""Gate `cold_prefix`: a repeated prompt is no faster to its first token than a new one.

    fails if  max over pairs of (time of the repeat / time of the fresh prompt) < FASTER

Without a prefix cache a repeat is below FASTER only by noise, hardly in every pair at once.
"""

from __future__ import annotations

from statistics import median

from common.contract import Sample

FASTER = 0.8  # of a fresh prompt's time to first token; noise alone rarely puts every pair below
MIN_PAIRS = 3


def cold_prefix(samples: list[Sample]) -> str:
    """The gate over the pairs (fresh, repeat) of one-token runs that follow the measured iterations in `samples`.

    Fails only if every repeat took less than FASTER times its fresh run. A cache that saves less than a fifth of the
    prefill is not detected, and cannot have raised a figure by more.
    """
    times = {phase: [s.steps_ns[-1] for s in samples if s.phase == phase] for phase in ("fresh", "repeat")}
    pairs = list(zip(times["fresh"], times["repeat"], strict=False))
    if len(pairs) < MIN_PAIRS or len(times["fresh"]) != len(times["repeat"]):
        return "not checked: the launch holds no pairs of fresh and repeated prompts"
    ratios = [repeat / fresh for fresh, repeat in pairs]
    if max(ratios) < FASTER:
        return (
            f"fail: a repeated prompt took {median(ratios):.2f} of a fresh prompt's time to first token in every one "
            f"of {len(ratios)} pairs: a prefix cache is on"
        )
    return "pass"
