"""The outcome of one launch."""

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

# The messages of PyTorch, the CUDA and HIP runtimes, Metal and llama.cpp's backends.
DEVICE_OOM = re.compile(
    r"(CUDA|HIP|MPS backend|GPU|device) out of memory|(cuda|hip)\w*( failed)?: out of memory|cudaErrorMemoryAllocation"
    r"|CUDA_ERROR_OUT_OF_MEMORY|hipErrorOutOfMemory|OutOfMemoryError|failed to allocate (CUDA|ROCm|Metal)\w* buffer",
    re.IGNORECASE,
)
TIMED = ("warmup", "measure")
TIMED_GATES = ("physics", "cold_prefix")  # they compare times: a busy neighbour can fail a single launch


@dataclass(frozen=True)
class Verdict:
    """How a launch ended.

    outcome:  one of base.outcomes.OUTCOMES
    reason:   for the user; None if ok
    result:   the engine's result.json, if it reports success
    gates:    verdict by gate, empty if the launch failed before they were checked
    """

    outcome: str
    reason: str | None
    result: Result | None
    gates: dict[str, str]
    noisy: bool = False  # other processes used the host, or a gate that compares times failed: worth a repeat
    measured: bool = False  # all iterations were measured, even if a later phase failed


def judge_launch(
    ended: Ended, directory: Path, job: Job, yardstick: Yardstick, machine: dict[str, Any] | None = None
) -> Verdict:
    """A launch is ok only if it exited 0, left a valid result.json and the expected samples, and passed its gates.

    ended:    how its process ended
    machine:  the monitor's record of the launch, None if it was not monitored

    Missing or invalid files become an outcome; raises OSError only if evidence.json cannot be written.
    """
    verdict = _judge(ended, directory, job, yardstick, machine)
    if verdict.outcome == "ok":
        return verdict
    with suppress(BadSamples, OSError):
        phases = [sample.phase for sample in read_samples(directory)]
        return replace(verdict, measured=phases.count("measure") == job.repetitions)
    return verdict


def _judge(ended: Ended, directory: Path, job: Job, yardstick: Yardstick, machine: dict[str, Any] | None) -> Verdict:
    report: Result | Failure | None = None
    defect = None
    try:
        report = read_result(directory)
    except FileNotFoundError:
        pass
    except Unreadable as error:
        defect = str(error)
    result = report if isinstance(report, Result) else None
    log = tail(directory / "stderr.log")
    if ended.hung and report is None:
        return Verdict("timeout_hung", f"no sign of life: killed\n{log}", result, {})
    if ended.timed_out:
        return Verdict("timeout_wall", f"still running after {ended.wall_s:.0f} s: killed\n{log}", result, {})
    if ended.oom_killed:
        return Verdict("oom_host", f"killed by the kernel at the container's memory limit\n{log}", result, {})
    if ended.signal is not None:
        outcome = "oom_suspected" if ended.signal == 9 else "engine_error"
        return Verdict(outcome, f"killed by signal {ended.signal}\n{log}", result, {})
    if isinstance(report, Failure):
        reason = (report.reason or "").strip() or "no reason was given"
        return Verdict(_cause_or(report.outcome, reason, job), reason, None, {})
    if ended.exit_code != 0:
        return Verdict(_cause_or("engine_error", log, job), f"exit code {ended.exit_code}\n{log}", result, {})
    if result is None:
        outcome = "no_result" if defect is None else "invalid_output"
        return Verdict(outcome, defect or f"no result.json\n{log}", None, {})
    return _judge_samples(directory, job, result, yardstick, machine)


def _judge_samples(
    directory: Path, job: Job, result: Result, yardstick: Yardstick, machine: dict[str, Any] | None
) -> Verdict:
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
    if tokens.startswith("fail"):  # figures computed from these samples would be wrong
        return Verdict("invalid_output", f"gate tokens: {tokens.removeprefix('fail: ')}", result, {"tokens": tokens})
    metrics = launch_metrics(samples, job, result.streams)
    checks = analyse(directory, job, result, samples, metrics, yardstick, machine)["gates"]
    noisy = Flag.NOISY_HOST in metrics["flags"] or any(checks[name].startswith("fail") for name in TIMED_GATES)
    for name, verdict in checks.items():
        if verdict.startswith("fail"):
            return Verdict("invalid_output", f"gate {name}: {verdict.removeprefix('fail: ')}", result, checks, noisy)
    return Verdict("ok", None, result, checks, noisy)


def _cause_or(outcome: str, text: str, job: Job) -> str:
    """`oom_gpu` or `disk_full` if `text`, the last that the launch printed, names it as the cause; else `outcome`."""
    if job.device.kind != "cpu" and DEVICE_OOM.search(text):
        return "oom_gpu"
    return disk_full_or(outcome, text)
