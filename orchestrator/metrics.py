"""From raw step times to the metrics of one launch. The formulas are in docs/trust/methodology.md."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.stats import percentile
from orchestrator.untrusted import Unreadable, is_count, is_number, parse, read_text

METRICS = ("decode_tps", "prefill_tps", "e2e_tps", "ttft_s", "itl_s")
P90_NEEDS, P99_NEEDS = 64, 662  # fewer steps do not support the tail
NOISY_SHARE = 0.05  # of one core
SAMPLES_LIMIT = 256 << 20  # bytes
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
NOISE_NEEDS_S = 0.2  # CPU counters tick at 100 Hz: a shorter iteration's share is rounding


class BadSamples(Exception):
    """samples.jsonl does not hold what a measurement holds; the message names the line."""


def read_samples(path: Path) -> list[dict[str, Any]]:
    """The samples of a launch. Raises BadSamples naming the line for what is not a sample; FileNotFoundError."""
    try:
        lines = read_text(path, SAMPLES_LIMIT).splitlines()
    except Unreadable as error:
        raise BadSamples(str(error)) from error
    samples = []
    for number, line in enumerate(lines, 1):
        try:
            sample = parse(line)
            good = _is_sample(sample)
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise BadSamples(f"{path.name} line {number} is not a sample")
        samples.append(sample)
    return samples


def _is_sample(sample: dict[str, Any]) -> bool:
    times, ids, foreign = sample["steps_ns"], sample["ids"], sample.get("foreign_cpu_s")
    return (
        is_count(sample["i"])
        and sample["phase"] in ("warmup", "measure", "fresh", "repeat")
        and isinstance(times, list)
        and all(is_count(each) for each in times)
        and times[-1:] > [0]
        and isinstance(ids, list)
        and all(isinstance(step, list) for step in ids)
        and (foreign is None or is_number(foreign))
        and ("ttft_ns" not in sample or is_count(sample["ttft_ns"]))
        and ("start_ns" not in sample or is_count(sample["start_ns"]))
    )


def iteration_metrics(sample: dict[str, Any], batch: int, prompt_tokens: int, streams: bool) -> dict[str, float | None]:
    """decode_tps, prefill_tps, e2e_tps [tokens/s], ttft_s and itl_s (median) [s] of one iteration.

    An engine that does not stream has no step times: its ttft is that of a separate one-token run (`ttft_ns`), its
    decode speed follows from the difference of the two runs, and itl_s is unknown.
    """
    times = [t / 1e9 for t in sample["steps_ns"]]
    count, last = len(times), times[-1]
    ttft = times[0] if streams else sample["ttft_ns"] / 1e9
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


def launch_metrics(samples: list[dict[str, Any]], job: dict[str, Any], streams: bool) -> dict[str, Any]:
    """Per metric the list of iteration values; all step times, their tails where the sample supports them; flags."""
    shape = job["shape"]
    measured = [sample for sample in samples if sample["phase"] == "measure"]
    prompt_tokens = len(job["prompts"][0][0])  # a text of the user's own may be shorter than the shape says
    rows = [iteration_metrics(each, shape["batch_size"], prompt_tokens, streams) for each in measured]
    steps = []
    if streams:
        for sample in measured:
            times = sample["steps_ns"]
            steps += [(later - earlier) / 1e9 for earlier, later in itertools.pairwise(times)]
    flags = []
    if any(_is_noisy(sample) for sample in measured):
        flags.append("noisy_host")
    return {
        **{name: [row[name] for row in rows if row[name] is not None] for name in METRICS},
        "steps_s": steps,
        "itl_p90_s": percentile(steps, 0.90) if len(steps) >= P90_NEEDS else None,
        "itl_p99_s": percentile(steps, 0.99) if len(steps) >= P99_NEEDS else None,
        "flags": flags,
    }


def _is_noisy(sample: dict[str, Any]) -> bool:
    seconds, foreign = sample["steps_ns"][-1] / 1e9, sample.get("foreign_cpu_s")
    return foreign is not None and seconds >= NOISE_NEEDS_S and foreign / seconds > NOISY_SHARE
