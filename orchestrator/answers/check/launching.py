"""Launches of one engine for the checks, and the float32 reference that they are compared with."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.contract import NO_WARMUP, Result, Sample
from orchestrator.base.errors import CellError
from orchestrator.judge.analysis import FILE as EVIDENCE
from orchestrator.judge.analysis import Yardstick
from orchestrator.judge.launch_files import read_samples
from orchestrator.judge.reference import Reference
from orchestrator.judge.verdict import judge_launch
from orchestrator.models import manifest
from orchestrator.models.model import Model
from orchestrator.plan import prompts
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine, Variant
from orchestrator.plan.exam import make_exam
from orchestrator.plan.run_plan import Subject
from orchestrator.run.convert import Artefacts
from orchestrator.run.job import make_job
from orchestrator.run.references import ReferenceMaker, reference_engine
from orchestrator.run.session import Workbench
from orchestrator.sandbox.task import Prepared

NEW_TOKENS = 64
LENGTHS = (32, 32, 32, 32, 9, 32, 17, 5)  # of the prompts, in tokens: four of one length, four ragged
EXAM_SEQUENCES, EXAM_TOKENS = 2, 129
WALL_S = 1800
# Allowed mean KL from float32, in nats: several times that of sound quantisers on the bundled model, and a fraction of
# that of a wrong scale or a swapped group.
QUANTISED_KL = {"float8": 0.1, "int8": 0.05, "int4": 1.0}


@dataclass(frozen=True)
class LaunchOutput:
    """The files of one launch: result.json, the samples, the host's evidence."""

    result: Result
    samples: list[Sample]
    evidence: dict[str, Any]
    processes_left: list[str]

    @property
    def ids(self) -> list[list[list[int]]]:
        """Generated ids [iteration][step][row] of the measured iterations."""
        return [sample.ids for sample in self.samples if sample.phase == "measure"]

    def row(self, iteration: int, row: int = 0) -> list[int]:
        """Generated ids of one prompt."""
        return [step[row] for step in self.ids[iteration]]


def prompts_for(model: Model) -> list[list[int]]:
    """Eight prompts of the lengths LENGTHS."""
    batches = prompts.make(model, len(LENGTHS), 1, max(LENGTHS))
    return [rows[0][:length] for rows, length in zip(batches, LENGTHS, strict=True)]


@dataclass(frozen=True)
class Trial:
    """The input of one launch: `batches` are prompts [iteration][row][token], `more` further keys of its job."""

    variant: Variant
    batches: list[list[list[int]]]
    more: dict[str, Any] = field(default_factory=dict)
    subject: Subject | None = None  # in place of the model of the other checks


class Launching:
    """Launches of one engine on a workbench, with one model."""

    def __init__(self, bench: Workbench, subject: Subject, engine: Engine, image: Prepared):
        self.bench, self.subject, self.engine, self._image = bench, subject, engine, image
        self._artefacts = Artefacts(bench)

    def launch(
        self, trial: Trial, reference: Reference | str = "not asked for", directory: Path | None = None
    ) -> LaunchOutput:
        """One launch without warm-up, in `directory` or a temporary one. Raises CellError unless it is ok."""
        bench, subject = self.bench, trial.subject or self.subject
        artefact = self._artefacts.ensure(self.engine, trial.variant, subject, self._image)
        repetitions = len(trial.batches) - trial.more.get("prefix_pairs", 0)
        cell = Cell(self.engine, trial.variant, Shape(len(trial.batches[0]), max(LENGTHS), NEW_TOKENS))
        job = make_job(cell, bench.device_facts, subject.facts, trial.batches, repetitions, bench.threads, NO_WARMUP)
        job = replace(job, **trial.more)
        with scratch(bench) as folder:
            directory = directory or folder
            (directory / "out").mkdir()
            task = bench.task(
                self.engine, "bench", job, directory, model=subject.model.path, artefact=artefact, wall_s=WALL_S
            )
            yardstick = Yardstick(subject.weights, subject.model.config, artefact, reference)
            verdict = judge_launch(bench.sandbox.run(self._image, task), directory, job, yardstick)
            if verdict.outcome != "ok" or verdict.result is None:
                raise CellError(verdict.outcome, verdict.reason or "")
            samples = read_samples(directory)
            evidence = json.loads((directory / EVIDENCE).read_text(encoding="utf-8"))
            return LaunchOutput(verdict.result, samples, evidence, _left(directory / "out" / "processes_left.json"))


def reference_for(bench: Workbench, subject: Subject) -> Reference | str:
    """The reference engine's float32 output for `prompts_for`, or the reason why there is none."""
    helper = reference_engine(bench.engines, bench.device.kind)
    if helper is None:
        return f"no engine gives a float32 reference on {bench.device.kind}"
    exam = make_exam(subject.model, max(LENGTHS), NEW_TOKENS)
    exam = replace(exam, sequences=[ids[:EXAM_TOKENS] for ids in exam.sequences[:EXAM_SEQUENCES]], questions=[])
    try:
        maker = ReferenceMaker(bench, helper, bench.sandbox.prepare(helper.engine, helper.kind), WALL_S)
        rows = [[prompt] for prompt in prompts_for(subject.model)]
        return maker.reference(subject, rows, NEW_TOKENS, exam, count=len(rows))
    except CellError as error:
        return f"no float32 reference: {error.outcome}: {error.reason}"


def _left(path: Path) -> list[str]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ["unknown: the process was ended before it could look"]


@contextmanager
def scratch(bench: Workbench) -> Iterator[Path]:
    """A temporary folder inside the cache, since a container may not see the host's /tmp."""
    parent = bench.workspace.cache / "check"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def with_eos(model: Model, token: int, folder: Path) -> Subject:
    """A copy of `model` in `folder` whose end-of-sequence token is `token`."""
    folder.mkdir()
    for path in model.path.iterdir():
        if path.is_file():
            try:
                os.link(path.resolve(), folder / path.name)
            except OSError:
                shutil.copyfile(path, folder / path.name)
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            content = {**json.loads((folder / name).read_text(encoding="utf-8")), "eos_token_id": token}
            (folder / name).unlink()  # it is a link to the original
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    changed = {**model.manifest, "config.json": f"eos {token}"}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return Subject.of(replace(model, path=folder, digest=manifest.digest(changed), config=config))
