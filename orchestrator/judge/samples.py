"""samples.jsonl of a launch: one line per iteration, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.base.reading import Unreadable, is_count, is_number, parse, read_text

SAMPLES_LIMIT = 256 << 20  # bytes


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


def first_rows(samples: list[dict[str, Any]], count: int) -> list[list[int]]:
    """The generated tokens of the batch's first row, of the first `count` iterations."""
    return [[step[0] for step in sample["ids"]] for sample in samples[:count]]
