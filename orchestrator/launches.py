"""One launch of one cell: what goes into its job, and the word with which it ends."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator import evidence, gates
from orchestrator.errors import disk_full_or
from orchestrator.evidence import Context
from orchestrator.metrics import BadSamples, launch_metrics, read_samples
from orchestrator.outcomes import OUTCOMES
from orchestrator.plan import WARMUP, Cell
from orchestrator.quality import Exam
from orchestrator.sandbox import Ended, tail
from orchestrator.untrusted import Unreadable, is_count, is_number, parse, read_text

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
    """The end of a launch. `result` is the engine's result.json where there is one."""

    outcome: str
    reason: str | None
    result: dict[str, Any] | None
    gates: dict[str, str]
    noisy: bool = False  # others used the host meanwhile, or its bandwidth moved: worth another try
    measured: bool = False  # every iteration was measured, whatever came after it


PROBE_S = 0.25
SCORE_S = 120  # no further sequence is scored after so many seconds: some dtypes take minutes for one
PREFIX_PAIRS = 3


def job(
    cell: Cell, device: dict[str, Any], model: dict[str, Any], prompts: list, repetitions: int, threads: int
) -> dict:
    """The job.json of a launch, without paths: those belong to the sandbox."""
    return {
        "schema": 1,
        "engine": cell.engine.name,
        "variant": cell.variant.name,
        "precision": cell.variant.precision,
        "scheme": cell.variant.scheme,
        "settings": cell.variant.settings,
        "device": device,
        "model": model,
        "shape": {
            "batch_size": cell.shape.batch_size,
            "prompt_tokens": cell.shape.prompt_tokens,
            "new_tokens": cell.shape.new_tokens,
        },
        "warmup": WARMUP,
        "repetitions": repetitions,
        "threads": threads,
        "prompts": prompts,
    }


def with_gates(measuring: dict[str, Any]) -> dict[str, Any]:
    """The job of a launch that counts: with bandwidth probes around it and the pairs that betray a prefix cache."""
    return {**measuring, "probe_s": PROBE_S, "prefix_pairs": PREFIX_PAIRS}


def with_exam(measuring: dict[str, Any], exam: Exam | None, seconds: float | None = SCORE_S) -> dict[str, Any]:
    """The job of a launch that is examined too, after it was measured; `seconds` as None scores all sequences."""
    if exam is None:
        return measuring
    ask = {"prompts": exam.questions, "new_tokens": exam.answer_tokens} if exam.questions else None
    return {**measuring, "score": exam.sequences, "score_s": seconds, "ask": ask}


def key(image: str, model: str, artefact: Path | None, launch_job: dict[str, Any], block: int) -> str:
    """16 hex digits: the same image, model, artefact, job, prompts and block. `--resume` skips only equal keys.

    The harness (common/) and the engine's code are part of the image's name.
    """
    content = [image, model, artefact.parent.name if artefact else None, launch_job, block]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def judge(
    ended: Ended, directory: Path, launch_job: dict[str, Any], context: Context, machine: dict[str, Any] | None = None
) -> Verdict:
    """A launch succeeded only if it exited 0, left a valid result.json, the expected samples, and passed its gates.

    `machine` is the monitor's record of the time it ran.
    """
    verdict = _judge(ended, directory, launch_job, context, machine)
    if verdict.outcome == "ok":
        return verdict
    with suppress(BadSamples, OSError):
        phases = [sample["phase"] for sample in read_samples(directory / "out" / "samples.jsonl")]
        return replace(verdict, measured=phases.count("measure") == launch_job["repetitions"])
    return verdict


def _judge(
    ended: Ended, directory: Path, launch_job: dict[str, Any], context: Context, machine: dict[str, Any] | None
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
    directory: Path, launch_job: dict[str, Any], result: dict[str, Any], context: Context,
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
    tokens = gates.token_audit(samples, launch_job["shape"]["batch_size"], launch_job["shape"]["new_tokens"])
    if tokens.startswith("fail"):  # what is worked out from these samples would be wrong as well
        return Verdict("invalid_output", f"gate tokens: {tokens.removeprefix('fail: ')}", result, {"tokens": tokens})
    metrics = launch_metrics(samples, launch_job, result["streams"])
    checks = evidence.collect(directory, launch_job, result, samples, metrics, context, machine)["gates"]
    noisy = "noisy_host" in metrics["flags"] or any(checks[name].startswith("fail") for name in TIMED_GATES)
    for name, verdict in checks.items():
        if verdict.startswith("fail"):
            return Verdict("invalid_output", f"gate {name}: {verdict.removeprefix('fail: ')}", result, checks, noisy)
    return Verdict("ok", None, result, checks, noisy)


def _cause_or(outcome: str, text: str, launch_job: dict[str, Any]) -> str:
    """`oom_gpu` or `disk_full` where what was said last gives it as the cause; else `outcome`."""
    if launch_job["device"]["kind"] != "cpu" and DEVICE_OOM.search(text):
        return "oom_gpu"
    return disk_full_or(outcome, text)


def own_benchmark(ended: Ended, directory: Path) -> dict[str, Any]:
    """{"decode_tps", "prefill_tps", "reason"} of the benchmark that an engine ships; speeds are None with a reason."""
    unknown = {"decode_tps": None, "prefill_tps": None}
    if ended.exit_code != 0:
        lines = tail(directory / "stderr.log").splitlines() or [f"exit code {ended.exit_code}"]
        return {**unknown, "reason": lines[-1]}
    try:
        told = parse(read_text(directory / "out" / "own_benchmark.json", RESULT_LIMIT))
        speeds = {name: told[name] for name in unknown}
        if not all(is_number(speed) and speed > 0 for speed in speeds.values()):
            raise ValueError("a speed is not a positive number")
    except (OSError, Unreadable, ValueError, KeyError, TypeError) as error:
        return {**unknown, "reason": f"own_benchmark.json is not valid: {error}"}
    return {**speeds, "reason": None}


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
    if not isinstance(result, dict) or result.get("schema") != 1 or result.get("outcome") not in OUTCOMES:
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
