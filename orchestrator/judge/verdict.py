"""The word with which one launch ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.base.errors import disk_full_or
from orchestrator.base.flags import Flag
from orchestrator.base.outcomes import OUTCOMES
from orchestrator.base.reading import Unreadable, is_count, is_number, parse, read_text
from orchestrator.judge.analysis import Yardstick, analyse
from orchestrator.judge.gates.tokens import token_audit
from orchestrator.judge.samples import BadSamples, read_samples
from orchestrator.judge.speed import launch_metrics
from orchestrator.sandbox.task import Ended, tail

RESULT_LIMIT = 16 << 20
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
    result:   the engine's result.json where there is one
    gates:    a verdict by gate, empty where it did not come so far
    """

    outcome: str
    reason: str | None
    result: dict[str, Any] | None
    gates: dict[str, str]
    noisy: bool = False  # others used the host meanwhile, or its bandwidth moved: worth another try
    measured: bool = False  # every iteration was measured, whatever came after it


def judge_launch(
    ended: Ended, directory: Path, launch_job: dict[str, Any], context: Yardstick, machine: dict[str, Any] | None = None
) -> Verdict:
    """A launch succeeded only if it exited 0, left a valid result.json, the expected samples, and passed its gates.

    ended:    how its process ended
    machine:  the monitor's record of the time it ran, None where it did not watch

    Whatever the launch left is answered with an outcome; raises OSError where evidence.json cannot be written.
    """
    verdict = _judge(ended, directory, launch_job, context, machine)
    if verdict.outcome == "ok":
        return verdict
    with suppress(BadSamples, OSError):
        phases = [sample["phase"] for sample in read_samples(directory / "out" / "samples.jsonl")]
        return replace(verdict, measured=phases.count("measure") == launch_job["repetitions"])
    return verdict


def _judge(
    ended: Ended, directory: Path, launch_job: dict[str, Any], context: Yardstick, machine: dict[str, Any] | None
) -> Verdict:
    result, complaint = _read_result(directory / "out" / "result.json")
    log = tail(directory / "stderr.log")
    if ended.hung and result is None:
        return Verdict("timeout_hung", f"no sign of life: killed\n{log}", result, {})
    if ended.timed_out:
        return Verdict("timeout_wall", f"still running after {ended.wall_s:.0f} s: killed\n{log}", result, {})
    if ended.oom_killed:
        return Verdict("oom_host", f"killed by the kernel at the container's memory limit\n{log}", result, {})
    if ended.signal is not None:
        word = "oom_suspected" if ended.signal == 9 else "engine_error"
        return Verdict(word, f"killed by signal {ended.signal}\n{log}", result, {})
    if result is not None and result["outcome"] != "ok":
        reason = str(result.get("reason") or "").strip() or "no reason was given"
        return Verdict(_cause_or(result["outcome"], reason, launch_job), reason, result, {})
    if ended.exit_code != 0:
        return Verdict(_cause_or("engine_error", log, launch_job), f"exit code {ended.exit_code}\n{log}", result, {})
    if result is None:
        return Verdict(
            "no_result" if complaint is None else "invalid_output", complaint or f"no result.json\n{log}", None, {}
        )
    return _judge_samples(directory, launch_job, result, context, machine)


def _judge_samples(
    directory: Path, launch_job: dict[str, Any], result: dict[str, Any], context: Yardstick,
    machine: dict[str, Any] | None,
) -> Verdict:  # fmt: skip
    try:
        samples = read_samples(directory / "out" / "samples.jsonl")
    except (BadSamples, OSError) as error:
        return Verdict("invalid_output", str(error), result, {})
    measured = sum(sample["phase"] == "measure" for sample in samples)
    if measured != launch_job["repetitions"]:
        return Verdict("invalid_output", f"{measured} samples, {launch_job['repetitions']} were asked for", result, {})
    if not result["streams"] and not all("ttft_ns" in sample for sample in samples if sample["phase"] in TIMED):
        return Verdict("invalid_output", "samples.jsonl lacks ttft_ns", result, {})
    tokens = token_audit(samples, launch_job["shape"]["batch_size"], launch_job["shape"]["new_tokens"])
    if tokens.startswith("fail"):  # what is worked out from these samples would be wrong as well
        return Verdict("invalid_output", f"gate tokens: {tokens.removeprefix('fail: ')}", result, {"tokens": tokens})
    metrics = launch_metrics(samples, launch_job, result["streams"])
    checks = analyse(directory, launch_job, result, samples, metrics, context, machine)["gates"]
    noisy = Flag.NOISY_HOST in metrics["flags"] or any(checks[name].startswith("fail") for name in TIMED_GATES)
    for name, verdict in checks.items():
        if verdict.startswith("fail"):
            return Verdict("invalid_output", f"gate {name}: {verdict.removeprefix('fail: ')}", result, checks, noisy)
    return Verdict("ok", None, result, checks, noisy)


def _cause_or(outcome: str, text: str, launch_job: dict[str, Any]) -> str:
    """`oom_gpu` or `disk_full` where what was said last gives it as the cause; else `outcome`."""
    if launch_job["device"]["kind"] != "cpu" and DEVICE_OOM.search(text):
        return "oom_gpu"
    return disk_full_or(outcome, text)


def _read_result(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """(result, None), (None, None) where there is none, or (None, what is wrong with it)."""
    try:
        result = parse(read_text(path, RESULT_LIMIT))
    except FileNotFoundError:
        return None, None
    except Unreadable as error:
        return None, str(error)
    except ValueError as error:
        return None, f"result.json is not valid: {error}"
    if not isinstance(result, dict) or result.get("schema") != 1 or str(result.get("outcome")) not in OUTCOMES:
        return None, "result.json has not the schema 1 of this suite"
    if result["outcome"] == "ok":
        for name, fits in SAYS.items():
            value: Any = result
            for key in name.split("."):
                value = value[key] if isinstance(value, dict) and key in value else MISSING
            if not fits(value):
                return None, f"result.json: {name} is missing or wrong"
    return result, None


def _or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_probes(value: Any) -> bool:
    """{"before": {...}, "after": {...}}, either null; absent where the job did not ask."""
    return value is MISSING or (
        isinstance(value, dict)
        and all(
            probe is None
            or (
                isinstance(probe, dict)
                and is_number(probe.get("best_gbs"))
                and probe["best_gbs"] > 0
                and _or_null(is_count)(probe.get("last_level_cache"))
            )
            for probe in value.values()
        )
    )


def _are_answers(value: Any) -> bool:
    return value is MISSING or (
        isinstance(value, list) and all(isinstance(ids, list) and all(map(is_count, ids)) for ids in value)
    )


def _are_scores(value: Any) -> bool:
    return value is MISSING or (
        isinstance(value, list) and all(each is None or isinstance(each, dict) for each in value)
    )


MISSING = object()
SAYS = {
    "streams": _is_flag, "warmup.steady": _is_flag, "load_s": is_number, "first_generate_s": _or_null(is_number),
    "memory.peak_host_mib": _or_null(is_number), "loaded.version": _is_text, "loaded.dtype": _is_text,
    "loaded.quantization": _or_null(_is_text), "loaded.weight_bytes": is_count, "loaded.threads": _or_null(is_count),
    "loaded.kv_bytes": _or_null(is_count), "loaded.kv_dtype": _or_null(_is_text),
    "bandwidth": _are_probes, "scores": _are_scores, "answers": _are_answers,
}  # fmt: skip
"""What the gates and the summary read from the result of a launch that is ok."""
