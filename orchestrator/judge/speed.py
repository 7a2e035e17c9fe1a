"""From raw step times to speeds.

t[k] is the time from the submit to step k's tokens, of n steps of a batch of b:

    ttft        = t[0]
    prefill_tps = b * prompt tokens / ttft
    decode_tps  = b * (n - 1) / (t[n - 1] - t[0])
    e2e_tps     = b * n / t[n - 1]
    itl         = median of t[k + 1] - t[k]

An engine that does not stream has only t[n - 1]; its ttft is the time of a separate run of one token.
"""

from __future__ import annotations

import itertools
from statistics import median
from typing import Any

from common.contract import Job, Sample
from orchestrator.base.outcomes import Flag
from orchestrator.base.stats import percentile

SPEEDS = ("decode_tps", "prefill_tps", "e2e_tps", "ttft_s", "itl_s")
P90_NEEDS, P99_NEEDS = 64, 662  # fewest steps that support the percentile
NOISY_SHARE = 0.05  # of one core
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
NOISE_NEEDS_S = 0.2  # CPU counters tick at 100 Hz: a shorter iteration's share is rounding


def iteration_metrics(sample: Sample, batch: int, prompt_tokens: int, streams: bool) -> dict[str, float | None]:
    """decode_tps, prefill_tps, e2e_tps [tokens/s], ttft_s and itl_s (median) [s] of one iteration.

    None where the sample does not support the metric: one token has no decode speed, an engine that does not stream no
    itl_s. Raises ValueError if the sample of such an engine lacks ttft_ns.
    """
    times = [t / 1e9 for t in sample.steps_ns]
    count, last = len(times), times[-1]
    if not streams and sample.ttft_ns is None:
        raise ValueError(f"iteration {sample.i} has no ttft_ns, though its engine does not stream")
    ttft = times[0] if streams or sample.ttft_ns is None else sample.ttft_ns / 1e9
    decoding = last - ttft
    return {
        "ttft_s": ttft,
        "prefill_tps": batch * prompt_tokens / ttft if ttft > 0 else None,
        "e2e_tps": batch * count / last if last > 0 else None,
        "decode_tps": batch * (count - 1) / decoding if count > 1 and decoding > 0 else None,
        "itl_s": median(later - earlier for earlier, later in itertools.pairwise(times))
        if streams and count > 1
        else None,
    }


def launch_metrics(samples: list[Sample], job: Job, streams: bool) -> dict[str, Any]:
    """All speeds of a launch, from its measured iterations.

    Returns for each of SPEEDS a list with one value per iteration; "steps_s", the times between the steps of all of
    them; "itl_p90_s" and "itl_p99_s", None below P90_NEEDS and P99_NEEDS steps; and "flags": `noisy_host` if in some
    iteration other processes took more than NOISY_SHARE of a core.
    """
    measured = [sample for sample in samples if sample.phase == "measure"]
    prompt_tokens = len(job.prompts[0][0])  # a --prompt may be shorter than the shape says
    rows = [iteration_metrics(sample, job.shape.batch_size, prompt_tokens, streams) for sample in measured]
    steps = []
    if streams:
        for sample in measured:
            times = sample.steps_ns
            steps += [(later - earlier) / 1e9 for earlier, later in itertools.pairwise(times)]
    flags = []
    if any(_is_noisy(sample) for sample in measured):
        flags.append(Flag.NOISY_HOST)
    return {
        **{name: [row[name] for row in rows if row[name] is not None] for name in SPEEDS},
        "steps_s": steps,
        "itl_p90_s": percentile(steps, 0.90) if len(steps) >= P90_NEEDS else None,
        "itl_p99_s": percentile(steps, 0.99) if len(steps) >= P99_NEEDS else None,
        "flags": flags,
    }


def _is_noisy(sample: Sample) -> bool:
    seconds, foreign = sample.steps_ns[-1] / 1e9, sample.foreign_cpu_s
    return foreign is not None and seconds >= NOISE_NEEDS_S and foreign / seconds > NOISY_SHARE
