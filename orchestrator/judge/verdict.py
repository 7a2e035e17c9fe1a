"""The word with which one launch ends."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.contract import Failure, Job, Result
from orchestrator.base.errors import disk_full_or
from orchestrator.base.outcomes import Flag
from orchestrator.base.reading import Unreadable
from orchestrator.judge.analysis import Yardstick, analyse
from orchestrator.judge.gates.tokens import token_audit
from orchestrator.judge.launch_files import BadSamples, read_result, read_samples
from orchestrator.judge.speed import launch_metrics
from orchestrator.sandbox.task import Ended, tail

# As PyTorch, the CUDA and HIP runtimes, Metal and llama.cpp's backends say it.
DEVICE_OOM = re.compile(
    r"(CUDA|HIP|MPS backend|GPU|device) out of memory|(cuda|hip)\w*( failed)?: out of memory|cudaErrorMemoryAllocation"
    r"|CUDA_ERROR_OUT_OF_MEMORY|hipErrorOutOfMemory|OutOfMemoryError|failed to allocate (CUDA|ROCm|Metal)\w* buffer",
    re.IGNORECASE,
)
TIMED = ("warmup", "measure")
TIMED_GATES = ("physics", "cold_prefix")  # what compares times; a busy neighbour can make them fail, but not every time


@dataclass(frozen=True)
class Verdict:
    """The end of a launch.

    outcome:  one of base.outcomes.OUTCOMES
    reason:   for the user; None if ok
    result:   the engine's result.json where that says ok
    gates:    a verdict by gate, empty where it did not come so far
    """

    outcome: str
    reason: str | None
    result: Result | None
    gates: dict[str, str]
    noisy: bool = False  # others used the host meanwhile, or its bandwidth moved: worth another try
    measured: bool = False  # every iteration was measured, whatever came after it


def judge_launch(
    ended: Ended, directory: Path, job: Job, context: Yardstick, machine: dict[str, Any] | None = None
) -> Verdict:
    """A launch succeeded only if it exited 0, left a valid result.json, the expected samples, and passed its gates.

    ended:    how its process ended
    machine:  the monitor's record of the time it ran, None where it did not watch

    Whatever the launch left is answered with an outcome; raises OSError where evidence.json cannot be written.
    """
    verdict = _judge(ended, directory, job, context, machine)
    if verdict.outcome == "ok":
        return verdict
    with suppress(BadSamples, OSError):
        phases = [sample.phase for sample in read_samples(directory)]
        return replace(verdict, measured=phases.count("measure") == job.repetitions)
    return verdict


def _judge(ended: Ended, directory: Path, job: Job, context: Yardstick, machine: dict[str, Any] | None) -> Verdict:
    said: Result | Failure | None = None
    complaint = None
    try:
        said = read_result(directory)
    except FileNotFoundError:
        pass
    except Unreadable as error:
        complaint = str(error)
    result = said if isinstance(said, Result) else None
    log = tail(directory / "stderr.log")
    if ended.hung and said is None:
        return Verdict("timeout_hung", f"no sign of life: killed\n{log}", result, {})
    if ended.timed_out:
        return Verdict("timeout_wall", f"still running after {ended.wall_s:.0f} s: killed\n{log}", result, {})
    if ended.oom_killed:
        return Verdict("oom_host", f"killed by the kernel at the container's memory limit\n{log}", result, {})
    if ended.signal is not None:
        word = "oom_suspected" if ended.signal == 9 else "engine_error"
        return Verdict(word, f"killed by signal {ended.signal}\n{log}", result, {})
    if isinstance(said, Failure):
        reason = (said.reason or "").strip() or "no reason was given"
        return Verdict(_cause_or(said.outcome, reason, job), reason, None, {})
    if ended.exit_code != 0:
        return Verdict(_cause_or("engine_error", log, job), f"exit code {ended.exit_code}\n{log}", result, {})
    if result is None:
        return Verdict(
            "no_result" if complaint is None else "invalid_output", complaint or f"no result.json\n{log}", None, {}
        )
    return _judge_samples(directory, job, result, context, machine)


def _judge_samples(
    directory: Path, job: Job, result: Result, context: Yardstick,
    machine: dict[str, Any] | None,
) -> Verdict:  # fmt: skip
    try:
        samples = read_samples(directory)
    except (BadSamples, OSError) as error:
        return Verdict("invalid_output", str(error), result, {})
    measured = sum(sample.phase == "measure" for sample in samples)
    if measured != job.repetitions:
        return Verdict("invalid_output", f"{measured} samples, {job.repetitions} were asked for", result, {})
    if not result.streams and not all(sample.ttft_ns is not None for sample in samples if sample.phase in TIMED):
        return Verdict("invalid_output", "samples.jsonl lacks ttft_ns", result, {})
    tokens = token_audit(samples, job.shape.batch_size, job.shape.new_tokens)
    if tokens.startswith("fail"):  # what is worked out from these samples would be wrong as well
        return Verdict("invalid_output", f"gate tokens: {tokens.removeprefix('fail: ')}", result, {"tokens": tokens})
    metrics = launch_metrics(samples, job, result.streams)
    checks = analyse(directory, job, result, samples, metrics, context, machine)["gates"]
    noisy = Flag.NOISY_HOST in metrics["flags"] or any(checks[name].startswith("fail") for name in TIMED_GATES)
    for name, verdict in checks.items():
        if verdict.startswith("fail"):
            return Verdict("invalid_output", f"gate {name}: {verdict.removeprefix('fail: ')}", result, checks, noisy)
    return Verdict("ok", None, result, checks, noisy)


def _cause_or(outcome: str, text: str, job: Job) -> str:
    """`oom_gpu` or `disk_full` where what was said last gives it as the cause; else `outcome`."""
    if job.device.kind != "cpu" and DEVICE_OOM.search(text):
        return "oom_gpu"
    return disk_full_or(outcome, text)
