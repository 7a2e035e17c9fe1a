"""Finding or computing the float32 reference."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.contract import NO_WARMUP, DeviceFacts, Job, ModelFacts
from orchestrator.base.cache import Cache, json_hash
from orchestrator.base.errors import CellError
from orchestrator.base.paths import CACHE
from orchestrator.base.progress import Progress, duration
from orchestrator.judge.analysis import Yardstick
from orchestrator.judge.launch_files import first_rows, read_samples
from orchestrator.judge.reference import Reference
from orchestrator.judge.verdict import judge_launch
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.model import Model
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine, Variant
from orchestrator.plan.exam import Exam
from orchestrator.run.job import make_job, with_exam
from orchestrator.sandbox.task import Sandbox, Task, thread_environment

PROMPTS = 3  # the first warm-up iterations, which every launch of a run runs
FILE = "reference.json"


def engine_for(engines: dict[str, Engine], kind: str) -> tuple[Engine, Variant] | None:
    """The engine whose folder says that it is the reference, and its first float32 variant; None without one."""
    for engine in engines.values():
        if engine.reference:
            for variant in engine.variants.values():
                if variant.precision == "float32" and variant.default and engine.support(variant, kind).runs:
                    return engine, variant
    return None


class References:
    """Finds or computes references. One object per run; what failed once is not tried again."""

    def __init__(
        self, sandbox: Sandbox, progress: Progress, engine: Engine, variant: Variant, prepared: Any,
        device: DeviceFacts, threads: int, wall_s: float, cache: Path | None = None,
    ):  # fmt: skip
        self._sandbox, self._progress, self._engine, self._variant = sandbox, progress, engine, variant
        self._prepared, self._device, self._threads = prepared, device, threads
        self._wall_s, self._cache = wall_s, cache or CACHE

    def of(
        self, model: Model, facts: ModelFacts, shape: Shape, prompts: list[list[list[int]]],
        exam: Exam, count: int = PROMPTS,
    ) -> Reference:  # fmt: skip
        """The reference for the first row of the first `count` prompts, and for `exam`. Raises CellError."""
        job = self._job(facts, shape, prompts[:count], exam)
        content = [self._prepared.tag, model.digest, self._variant.name, job]
        key = json_hash(content, 16)
        cache = Cache(self._cache / "references", self._progress.say)
        place = cache.get(key, f"computing the reference {key}", lambda work: self._compute(work, job, model))
        known = json.loads((place / FILE).read_text(encoding="utf-8"))
        return Reference(
            place, self._engine.title, known["version"], [rows[0] for rows in job.prompts], known["generated"], exam,
            known["answers"], model.config["vocab_size"],
        )  # fmt: skip

    def _job(self, facts: ModelFacts, shape: Shape, prompts: list, exam: Exam) -> Job:
        alone = Shape(1, len(prompts[0][0]), shape.new_tokens)
        cell = Cell(self._engine, self._variant, alone)
        mine = [[rows[0]] for rows in prompts]
        job = make_job(cell, self._device, facts, mine, len(mine), self._threads, NO_WARMUP)
        return with_exam(replace(job, score_generated=len(mine)), exam, None)

    def _compute(self, work: Path, job: Job, model: Model) -> Path:
        """Compute it in the folder `work`; returns the folder that holds it."""
        self._progress.say(f"computing the float32 reference with {self._engine.title}")
        started = time.monotonic()
        task = Task(
            engine=self._engine.name, module=f"{self._engine.folder.name}.bench", job=job, directory=work,
            out=work / "out", model=model.path, artefact=None, wall_s=self._wall_s,
            environment=thread_environment(self._threads),
        )  # fmt: skip
        context = Yardstick(ParameterCounts.of(model.path), model.config)
        verdict = judge_launch(self._sandbox.run(self._prepared, task), work, job, context)
        if verdict.outcome != "ok":
            raise CellError(verdict.outcome, f"the float32 reference failed: {verdict.reason}")
        wanted = len(job.score) + len(job.prompts)
        scores = verdict.result.scores or []
        if None in scores or len(scores) != wanted:
            raise CellError("invalid_output", "the reference engine gave no log-probabilities")
        samples = read_samples(work)
        known = {
            "version": verdict.result.loaded.version,
            "generated": first_rows(samples, len(job.prompts)),
            "answers": verdict.result.answers or [],
        }
        (work / "out" / FILE).write_text(json.dumps(known), encoding="utf-8")
        shutil.copy(work / "reproduce.sh", work / "out" / "reproduce.sh")
        self._progress.say(f"  reference computed in {duration(time.monotonic() - started)}")
        return work / "out"
