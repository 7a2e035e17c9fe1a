"""The files of one launch, read strictly as common/contract.py declares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from common.contract import SCHEMA, Failure, Job, Result, Sample
from orchestrator.base.outcomes import OUTCOMES
from orchestrator.base.reading import Mismatch, Unreadable, convert, is_count, is_number, parse, read_text

JOB_LIMIT = SAMPLES_LIMIT = 256 << 20  # bytes; a job holds every prompt
RESULT_LIMIT = 16 << 20
T = TypeVar("T")
_SAMPLE = msgspec.json.Decoder(Sample)


class BadSamples(Unreadable):
    """samples.jsonl is not that of a valid measurement; the message names the line."""


def read_job(directory: Path) -> Job:
    """The job of the launch in `directory`. Raises Unreadable, one line; FileNotFoundError."""
    path = directory / "job.json"
    return _as(Job, _content(path, JOB_LIMIT), path)


def read_result(directory: Path) -> Result | Failure:
    """What the engine of the launch in `directory` reported. Raises Unreadable, one line; FileNotFoundError."""
    path = directory / "out" / "result.json"
    content = _content(path, RESULT_LIMIT)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or str(content.get("outcome")) not in OUTCOMES:
        raise Unreadable(f"{path.name} has not the schema {SCHEMA} of this suite")
    if content["outcome"] != "ok":
        return _as(Failure, {**content, "reason": str(content.get("reason") or "")}, path)
    result = _as(Result, content, path)
    loaded, memory = result.loaded, result.memory
    probes = [probe for probe in result.bandwidth.values() if probe]
    answers = [token for ids in result.answers or [] for token in ids]
    caches = [probe.last_level_cache for probe in probes]
    counts = [loaded.weight_bytes, loaded.threads, loaded.kv_bytes, *caches, *answers]
    speeds = [probe.best_gbs for probe in probes]
    numbers = [result.load_s, result.first_generate_s, memory.peak_host_mib, memory.peak_mapped_file_mib, *speeds]
    possible = all(value is None or is_count(value) for value in counts) and all(speed > 0 for speed in speeds)
    if not possible or not all(value is None or is_number(value) for value in numbers):
        raise Unreadable(f"{path.name} holds a number that cannot have been measured")
    return result


def read_samples(directory: Path) -> list[Sample]:
    """The iterations of the launch in `directory`. Raises BadSamples, naming the invalid line; FileNotFoundError."""
    path = directory / "out" / "samples.jsonl"
    try:
        lines = read_text(path, SAMPLES_LIMIT).splitlines()
    except Unreadable as error:
        raise BadSamples(str(error)) from error
    samples = []
    for number, line in enumerate(lines, 1):
        try:
            sample = _SAMPLE.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            sample = None
        if sample is None or not _is_possible(sample):
            raise BadSamples(f"{path.name} line {number} is not a sample")
        samples.append(sample)
    return samples


def first_rows(samples: list[Sample], count: int) -> list[list[int]]:
    """The tokens [count][steps] generated for the batch's first row in each of the first `count` iterations."""
    return [[step[0] for step in sample.ids] for sample in samples[:count]]


def _is_possible(sample: Sample) -> bool:
    """Whether a clock can have given all of its times."""
    counts = [sample.i, *sample.steps_ns, sample.ttft_ns or 0, sample.start_ns or 0]
    seconds = [sample.own_cpu_s or 0, sample.foreign_cpu_s or 0, sample.steal_s or 0]
    return all(map(is_count, counts)) and all(map(is_number, seconds)) and sample.steps_ns[-1:] > [0]


def _content(path: Path, limit: int) -> Any:
    text = read_text(path, limit)
    try:
        return parse(text)
    except ValueError as error:
        raise Unreadable(f"{path.name} is not valid: {error}") from error


def _as(kind: type[T], content: Any, path: Path) -> T:
    try:
        return convert(content, kind)
    except Mismatch as error:
        raise Unreadable(f"{path.name}: {error}") from error
