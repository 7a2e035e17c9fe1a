"""The job of a launch: what job.json holds, and the key by which --resume knows it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.base.cache import json_hash
from orchestrator.plan.cells import Cell
from orchestrator.plan.exam import Exam
from orchestrator.plan.profiles import WARMUP

PROBE_S = 0.25
SCORE_S = 120  # no further sequence is scored after so many seconds: some dtypes take minutes for one
PREFIX_PAIRS = 3


def make_job(
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


def launch_key(image: str, model: str, artefact: Path | None, launch_job: dict[str, Any], block: int) -> str:
    """16 hex digits: the same image, model, artefact, job, prompts and block. `--resume` skips only equal keys.

    The harness (common/) and the engine's code are part of the image's name.
    """
    content = [image, model, artefact.parent.name if artefact else None, launch_job, block]
    return json_hash(content, 16)
