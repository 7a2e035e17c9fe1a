"""The float32 reference: taken from the cache, or computed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from common.contract import NO_WARMUP, Job
from orchestrator.base.cache import Cache, json_hash
from orchestrator.base.errors import CellError
from orchestrator.base.progress import duration
from orchestrator.judge.analysis import Yardstick
from orchestrator.judge.launch_files import first_rows, read_samples
from orchestrator.judge.reference import Reference
from orchestrator.judge.verdict import judge_launch
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine, Variant
from orchestrator.plan.exam import Exam
from orchestrator.plan.run_plan import Subject
from orchestrator.run.job import make_job, with_exam
from orchestrator.run.session import Workbench
from orchestrator.sandbox.task import Prepared

PROMPTS = 3  # of the first warm-up iterations, which every launch of a run includes
FILE = "reference.json"


@dataclass(frozen=True)
class Helper:
    """An engine that the suite itself needs for a baseline, whether it is a contender or not."""

    engine: Engine
    variant: Variant
    kind: str  # of the device that its image is for


def reference_engine(engines: Mapping[str, Engine], kind: str) -> Helper | None:
    """The engine marked as reference in its engine.yaml, with its first float32 variant; None without one."""
    for engine in engines.values():
        if engine.reference:
            for variant in engine.variants.values():
                if variant.precision == "float32" and variant.default and engine.support(variant, kind).runs:
                    return Helper(engine, variant, kind)
    return None


@dataclass(frozen=True)
class ReferenceMaker:
    """Takes references from the cache, or computes them with `image` of the reference engine."""

    bench: Workbench
    helper: Helper
    image: Prepared
    wall_s: float  # time limit of one computation

    def reference(
        self, subject: Subject, prompts: list[list[list[int]]], new_tokens: int, exam: Exam, count: int = PROMPTS
    ) -> Reference:
        """The reference for the first row of the first `count` prompts, and for `exam`. Raises CellError.

        `prompts` are token ids [iterations][batch][length].
        """
        job = self._job(subject, [rows[0] for rows in prompts[:count]], new_tokens, exam)
        content = [self.image.tag, subject.model.digest, self.helper.variant.name, job]
        key = json_hash(content, 16)
        cache = Cache(self.bench.workspace.cache / "references", self.bench.progress.say)
        place = cache.get(key, f"computing the reference {key}", lambda work: self._compute(work, job, subject))
        record = json.loads((place / FILE).read_text(encoding="utf-8"))
        return Reference(
            place, self.helper.engine.title, record["version"], [rows[0] for rows in job.prompts],
            record["generated"], exam, record["answers"], subject.model.config["vocab_size"],
        )  # fmt: skip

    def _job(self, subject: Subject, prompts: list[list[int]], new_tokens: int, exam: Exam) -> Job:
        cell = Cell(self.helper.engine, self.helper.variant, Shape(1, len(prompts[0]), new_tokens))
        ids, count = [[prompt] for prompt in prompts], len(prompts)
        job = make_job(cell, self.bench.device_facts, subject.facts, ids, count, self.bench.threads, NO_WARMUP)
        return with_exam(replace(job, score_generated=count), exam, None)

    def _compute(self, work: Path, job: Job, subject: Subject) -> Path:
        """Compute the reference in the directory `work`; returns the directory that holds it."""
        engine, say = self.helper.engine, self.bench.progress.say
        say(f"computing the float32 reference with {engine.title}")
        started = time.monotonic()
        task = self.bench.task(engine, "bench", job, work, model=subject.model.path, wall_s=self.wall_s)
        yardstick = Yardstick(subject.weights, subject.model.config)
        verdict = judge_launch(self.bench.sandbox.run(self.image, task), work, job, yardstick)
        result = verdict.result
        if verdict.outcome != "ok" or result is None:
            raise CellError(verdict.outcome, f"the float32 reference failed: {verdict.reason}")
        wanted = len(job.score) + len(job.prompts)
        scores = result.scores or []
        if None in scores or len(scores) != wanted:
            raise CellError("invalid_output", "the reference engine gave no log-probabilities")
        record = {
            "version": result.loaded.version,
            "generated": first_rows(read_samples(work), len(job.prompts)),
            "answers": result.answers or [],
        }
        (work / "out" / FILE).write_text(json.dumps(record), encoding="utf-8")
        shutil.copy(work / "reproduce.sh", work / "out" / "reproduce.sh")
        say(f"  reference computed in {duration(time.monotonic() - started)}")
        return work / "out"
