"""One launch of one cell: what goes into its job, and the word with which it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import gates
from orchestrator.metrics import BadSamples, read_samples
from orchestrator.outcomes import OUTCOMES
from orchestrator.plan import WARMUP, Cell
from orchestrator.sandbox import Ended, tail
from orchestrator.untrusted import Unreadable, is_count, is_number, parse, read_text
from orchestrator.weights import Weights

RESULT_LIMIT = 16 << 20


@dataclass(frozen=True)
class Verdict:
    """The end of a launch. `result` is the engine's result.json where there is one."""

    outcome: str
    reason: str | None
    result: dict[str, Any] | None
    gates: dict[str, str]


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


def key(image: str, model: str, artefact: Path | None, launch_job: dict[str, Any], block: int) -> str:
    """16 hex digits: the same image, model, artefact, job, prompts and block. `--resume` skips only equal keys.

    The harness (common/) and the engine's code are part of the image's name.
    """
    content = [image, model, artefact.parent.name if artefact else None, launch_job, block]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def judge(ended: Ended, directory: Path, launch_job: dict[str, Any], weights: Weights) -> Verdict:
    """A launch succeeded only if it exited 0, left a valid result.json, the expected samples, and passed its gates."""
    result, complaint = _read_result(directory / "out" / "result.json")
    log = tail(directory / "stderr.log")
    if ended.timed_out:
        return Verdict("timeout_wall", f"still running after {ended.wall_s:.0f} s: killed\n{log}", result, {})
    if ended.oom_killed:
        return Verdict("oom_host", f"killed by the kernel at the container's memory limit\n{log}", result, {})
    if ended.signal is not None:
        word = "oom_suspected" if ended.signal == 9 else "engine_error"
        return Verdict(word, f"killed by signal {ended.signal}\n{log}", result, {})
    if result is not None and result["outcome"] != "ok":
        return Verdict(result["outcome"], str(result.get("reason") or "").strip() or "no reason was given", result, {})
    if ended.exit_code != 0:
        return Verdict("engine_error", f"exit code {ended.exit_code}\n{log}", result, {})
    if result is None:
        return Verdict(
            "no_result" if complaint is None else "invalid_output", complaint or f"no result.json\n{log}", None, {}
        )
    return _judge_samples(directory, launch_job, result, weights)


def _judge_samples(directory: Path, launch_job: dict[str, Any], result: dict[str, Any], weights: Weights) -> Verdict:
    shape = launch_job["shape"]
    try:
        samples = read_samples(directory / "out" / "samples.jsonl")
    except (BadSamples, OSError) as error:
        return Verdict("invalid_output", str(error), result, {})
    measured = sum(sample["phase"] == "measure" for sample in samples)
    if measured != launch_job["repetitions"]:
        return Verdict("invalid_output", f"{measured} samples, {launch_job['repetitions']} were asked for", result, {})
    if not result["streams"] and not all("ttft_ns" in sample for sample in samples):
        return Verdict("invalid_output", "samples.jsonl lacks ttft_ns", result, {})
    checks = {
        "precision": gates.precision_proof(launch_job["precision"], result["loaded"], weights),
        "tokens": gates.token_audit(samples, shape["batch_size"], shape["new_tokens"]),
    }
    for name, verdict in checks.items():
        if verdict.startswith("fail"):
            return Verdict("invalid_output", f"gate {name}: {verdict.removeprefix('fail: ')}", result, checks)
    return Verdict("ok", None, result, checks)


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


MISSING = object()
SAYS = {
    "streams": _is_flag, "warmup.steady": _is_flag, "load_s": is_number, "first_generate_s": _or_null(is_number),
    "memory.peak_host_mib": _or_null(is_number), "loaded.version": _is_text, "loaded.dtype": _is_text,
    "loaded.quantization": _or_null(_is_text), "loaded.weight_bytes": is_count, "loaded.threads": _or_null(is_count),
    "loaded.kv_bytes": _or_null(is_count),
}  # fmt: skip
"""What the gates and the summary read from the result of a launch that is ok."""
