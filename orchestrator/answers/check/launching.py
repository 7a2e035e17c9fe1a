"""Launches of one engine for the checks, and the float32 reference they are compared with."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.contract import NO_WARMUP, DeviceFacts, Result, Sample
from orchestrator.base.errors import CellError
from orchestrator.base.paths import CACHE
from orchestrator.base.progress import Progress
from orchestrator.judge.analysis import FILE as EVIDENCE
from orchestrator.judge.analysis import Yardstick
from orchestrator.judge.launch_files import read_samples
from orchestrator.judge.reference import Reference
from orchestrator.judge.verdict import judge_launch
from orchestrator.machine import host
from orchestrator.machine.detect import Device
from orchestrator.models import manifest
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.model import Model
from orchestrator.plan import prompts
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine, Variant
from orchestrator.plan.exam import make_exam
from orchestrator.run import references
from orchestrator.run.convert import Artefacts, hardware
from orchestrator.run.job import make_job, model_facts
from orchestrator.run.references import References
from orchestrator.sandbox.task import Sandbox, Task, thread_environment

NEW_TOKENS = 64
LENGTHS = (32, 32, 32, 32, 9, 32, 17, 5)  # of the prompts, in tokens: four of one length, four ragged
EXAM_SEQUENCES, EXAM_TOKENS = 2, 129
WALL_S = 1800
# Mean KL from float32, in nats, that quantising may cost: several times what sound quantisers show on the bundled
# model, a fraction of what a wrong scale or a swapped group does.
QUANTISED_KL = {"float8": 0.1, "int8": 0.05, "int4": 1.0}


@dataclass(frozen=True)
class Made:
    """What one launch left: result.json, the samples, the host's evidence."""

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
    made = prompts.make(model, len(LENGTHS), 1, max(LENGTHS))
    return [rows[0][:length] for rows, length in zip(made, LENGTHS, strict=True)]


class Launching:
    """Runs launches of any engine on one device with one model."""

    def __init__(self, device: Device, sandbox: Sandbox, model: Model, progress: Progress):
        self.device, self.model = device, model
        self._sandbox, self._progress, self._threads = sandbox, progress, host.default_threads()
        self._artefacts = Artefacts(sandbox, progress, hardware(device), self._threads)
        self._weights = ParameterCounts.of(model.path)
        self._described = DeviceFacts(device.kind, list(device.ids), device.name)

    def reference(self, engines: dict[str, Engine]) -> Reference | str:
        """What the reference engine computes in float32 for `prompts_for`, or why there is nothing to compare with."""
        found = references.engine_for(engines, self.device.kind)
        if found is None:
            return f"no engine gives a float32 reference on {self.device.kind}"
        engine, variant = found
        shape = Shape(1, max(LENGTHS), NEW_TOKENS)
        exam = make_exam(self.model, shape.prompt_tokens, shape.new_tokens)
        exam = replace(exam, sequences=[each[:EXAM_TOKENS] for each in exam.sequences[:EXAM_SEQUENCES]], questions=[])
        try:
            prepared = self._sandbox.prepare(engine, self.device.kind)
            maker = References(
                self._sandbox, self._progress, engine, variant, prepared, self._described, self._threads, WALL_S
            )
            rows = [[prompt] for prompt in prompts_for(self.model)]
            facts = model_facts(self.model, self._weights.parameters)
            return maker.of(self.model, facts, shape, rows, exam, count=len(rows))
        except CellError as error:
            return f"no float32 reference: {error.outcome}: {error.reason}"

    def launch(
        self, engine: Engine, prepared: Any, variant: Variant, shape: Shape, batches: list[list[list[int]]],
        more: dict[str, Any] | None = None, refer: Reference | str = "not asked for",
        model: Model | None = None, directory: Path | None = None,
    ) -> Made:  # fmt: skip
        """One launch without warm-up; `more` goes into its job. Raises CellError unless it is ok."""
        model, kind = model or self.model, self.device.kind
        facts = model_facts(model, self._weights.parameters)
        artefact = self._artefacts.ensure(engine, kind, variant, model, prepared, facts)
        more = more or {}
        repetitions = len(batches) - more.get("prefix_pairs", 0)
        cell = Cell(engine, variant, shape)
        job = make_job(cell, self._described, facts, batches, repetitions, self._threads, NO_WARMUP)
        job = replace(job, **more)
        with scratch() as folder:
            directory = directory or folder
            (directory / "out").mkdir()
            task = Task(
                engine=engine.name, module=f"{engine.folder.name}.bench", job=job, directory=directory,
                out=directory / "out", model=model.path, artefact=artefact, wall_s=WALL_S,
                environment=thread_environment(self._threads),
            )  # fmt: skip
            context = Yardstick(self._weights, model.config, artefact, refer)
            verdict = judge_launch(self._sandbox.run(prepared, task), directory, job, context)
            if verdict.outcome != "ok" or verdict.result is None:
                raise CellError(verdict.outcome, verdict.reason or "")
            samples = read_samples(directory)
            evidence = json.loads((directory / EVIDENCE).read_text(encoding="utf-8"))
            return Made(verdict.result, samples, evidence, _left(directory / "out" / "processes_left.json"))


def _left(path: Path) -> list[str]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ["unknown: the process was ended before it could look"]


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder inside the cache, since a container may not see the host's /tmp."""
    parent = CACHE / "check"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def with_eos(model: Model, token: int, folder: Path) -> Model:
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
    return replace(model, path=folder, digest=manifest.digest(changed), config=config)
