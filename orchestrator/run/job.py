"""The job of a launch: what job.json holds, and the key by which --resume recognises the launch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from common.contract import DeviceFacts, Job, ModelFacts, Questions, WarmupRule
from orchestrator.base.cache import json_hash
from orchestrator.plan.cells import Cell
from orchestrator.plan.exam import Exam
from orchestrator.plan.profiles import WARMUP

PROBE_S = 0.25
SCORE_S = 120  # stop scoring after so many seconds: float16 on a CPU needs minutes for one sequence
PREFIX_PAIRS = 3


def make_job(
    cell: Cell, device: DeviceFacts, model: ModelFacts, prompts: list[list[list[int]]], repetitions: int, threads: int,
    warmup: WarmupRule = WARMUP,
) -> Job:  # fmt: skip
    """The job of a launch, without paths: the sandbox adds those. `prompts`: [iteration][batch][tokens]."""
    variant = cell.variant
    return Job(
        engine=cell.engine.name, variant=variant.name, precision=variant.precision, scheme=variant.scheme,
        settings=variant.settings, device=device, model=model, shape=cell.shape, warmup=warmup,
        repetitions=repetitions, threads=threads, prompts=prompts,
    )  # fmt: skip


def with_gates(measuring: Job) -> Job:
    """The job of a measured launch: with bandwidth probes around it and the prompt pairs that reveal a prefix cache."""
    return replace(measuring, probe_s=PROBE_S, prefix_pairs=PREFIX_PAIRS)


def with_exam(measuring: Job, exam: Exam | None, seconds: float | None = SCORE_S) -> Job:
    """The job of a launch that takes the exam after it was measured; with `seconds` None all sequences are scored."""
    if exam is None:
        return measuring
    ask = Questions(exam.questions, exam.answer_tokens) if exam.questions else None
    return replace(measuring, score=exam.sequences, score_s=seconds, ask=ask)


def launch_key(image: str, model: str, artefact: Path | None, job: Job, block: int) -> str:
    """16 hex digits over image, model, artefact, job and block; `--resume` skips launches of the same key.

    The image's name covers the harness (common/) and the engine's code.
    """
    return json_hash([image, model, artefact.parent.name if artefact else None, job, block], 16)
