"""`./benchmark.sh [run]`: from a request to a directory of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.contract import DeviceFacts, Job, ModelFacts
from orchestrator.base.errors import CellError, is_disk_full
from orchestrator.base.escape import first_line
from orchestrator.base.paths import CACHE
from orchestrator.base.progress import Progress
from orchestrator.base.signals import terminated_as_interrupt, uninterrupted
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.model import Model
from orchestrator.models.ready.find import ReadyMade
from orchestrator.plan import profiles, prompts, support
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine
from orchestrator.plan.request import Request
from orchestrator.results import journal
from orchestrator.results.journal import Journal
from orchestrator.run.baselines import Baselines, Setting
from orchestrator.run.convert import Artefacts, hardware, identity
from orchestrator.run.job import PREFIX_PAIRS, launch_key, make_job, model_facts, with_exam, with_gates
from orchestrator.run.run_record import described
from orchestrator.run.schedule import Launchable, Schedule
from orchestrator.sandbox import sbom
from orchestrator.sandbox.prepare import prepare_all
from orchestrator.sandbox.task import Sandbox


class Run:
    """One run into one directory."""

    def __init__(
        self, request: Request, directory: Path, sandbox: Sandbox, resolve: Callable[[], Model], progress: Progress,
        engines: dict[str, Engine], prompts: Mapping[Shape, list[list[list[int]]]] | None = None,
        ready_made: dict[str, ReadyMade | CellError] | None = None,
    ):  # fmt: skip
        """`prompts` are token ids [iterations][batch][length] to take instead of those that the request makes.

        `ready_made`: the checkpoints to take, by scheme, instead of converting the model; None: all is converted.
        """
        self._ready_made = ready_made
        self._request, self._directory, self._sandbox = request, directory, sandbox
        self._prompts = prompts or {}
        self._resolve, self._progress = resolve, progress
        device = request.device
        self._device = DeviceFacts(device.kind, list(device.ids), device.name)
        setting = Setting(
            self._device, device.kind, request.threads, request.wall_s, request.with_quality,
            request.profile.is_measurement,
        )  # fmt: skip
        self._standards = Baselines(sandbox, progress, setting, engines)
        self._outcomes: dict[str, str] = {}
        self._journal: Journal | None = None

    def go(self, cells: list[Cell]) -> bool:
        """Measure `cells`; False if the run was interrupted. A full disk ends it in the same way, with its own word.

        On Ctrl-C or SIGTERM what runs is stopped and the journal is closed with `interrupted`.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(self._directory)
        self._journal.append("run", **described(self._request, cells, self._sandbox.isolation))
        word = "harness_error"
        try:
            with terminated_as_interrupt():
                self._measure(cells)
            word = "finished"
        except KeyboardInterrupt:
            word = "interrupted"
            self._progress.say("interrupted: stopping what runs; `--resume` continues from here")
        except OSError as error:
            if not is_disk_full(error):
                raise
            word = "disk_full"
            self._progress.say(f"disk full: {error}; what is measured is kept, `--resume` continues from here")
        finally:
            with uninterrupted():
                self._progress.end()
                self._sandbox.stop()
                with _as_far_as_the_disk_goes(word):
                    for cell in cells:
                        if cell.label not in self._outcomes:
                            self._end_cell(cell, "harness_error" if word == "finished" else word, "the run ended")
                    self._journal.append("end", outcome=word, time=journal.now())
                self._journal.close()
        return word != "interrupted"

    def _measure(self, cells: list[Cell]) -> None:
        request = self._request
        try:
            model = self._resolve()
        except CellError as error:
            for cell in cells:
                self._end_cell(cell, error.outcome, error.reason)
            return
        weights = ParameterCounts.of(model.path)
        facts = model_facts(model, weights.parameters)
        self._journal.append(
            "model", name=model.name, digest=model.digest, synthetic=model.synthetic, vocab_size=facts.vocab_size,
            parameters=facts.parameters, manifest=model.manifest, config=model.config,
        )  # fmt: skip
        jobs = self._jobs(cells, model, facts)
        runnable = [cell for cell in cells if not self._end_if_unsupported(cell, model)]
        prepared = self._prepare(runnable)
        runnable = [cell for cell in runnable if cell.engine.name in prepared]
        self._list_packages(runnable, prepared)
        artefacts = self._convert(runnable, model, prepared, facts)
        runnable = [cell for cell in runnable if cell.label in artefacts]
        if runnable:
            self._measure_standards(runnable, model, weights, facts, jobs)
        ready = self._ready(runnable, model, prepared, artefacts, jobs)
        launcher = Schedule(
            request, self._directory, self._sandbox, self._progress, self._standards, model, self._journal
        )
        launcher.all(ready, self._outcomes)

    def _ready(self, cells: list[Cell], model: Model, prepared: dict, artefacts: dict, jobs: dict) -> list[Launchable]:
        """Each cell with its jobs and keys. The first launch of each cell of the first shape is examined."""
        made = []
        for cell in cells:
            image, artefact, (job, workload) = prepared[cell.engine.name], artefacts[cell.label], jobs[cell.label]
            taken = self._taken(cell)
            examined = cell.shape == cells[0].shape and not cell.engine.test_only
            exam = self._standards.exam if examined else None
            mine = [with_exam(job, exam if block == 0 else None) for block in range(self._request.launches)]
            keys = [launch_key(image.tag, model.digest, artefact, each, block) for block, each in enumerate(mine)]
            self._journal.append(
                "cell", label=cell.label, workload=workload, image=image.tag, image_id=image.id, recipe=image.recipe,
                artefact={"name": artefact.parent.name, "digest": taken.digest} if taken else identity(artefact),
                keys=keys, architecture=_of_architecture(cell, model),
                ready_made=taken.described() if taken else None,
            )  # fmt: skip
            made.append(Launchable(cell, image, artefact, mine, keys))
        return made

    def _measure_standards(
        self, cells: list[Cell], model: Model, weights: ParameterCounts, facts: ModelFacts, jobs: dict
    ) -> None:
        """Limits, calibration and references, before the first launch. The examined shape comes first."""
        shapes = {cell.shape: jobs[cell.label][0].prompts for cell in cells}
        with_limits = any(not cell.engine.test_only for cell in cells)
        self._standards.measure(self._directory / "standards", model, facts, weights, shapes, with_limits)
        self._journal.append("standards", **self._standards.described())

    def _jobs(self, cells: list[Cell], model: Model, facts: ModelFacts) -> dict[str, tuple[Job, str]]:
        """(job, workload hash) of each cell; cells of one shape share their prompts."""
        request, made, jobs = self._request, {}, {}
        for cell in cells:
            shape = cell.shape
            if shape not in made:
                count = profiles.WARMUP.max + request.repetitions + PREFIX_PAIRS
                ids = self._prompts.get(shape) or prompts.make(
                    model, count, shape.batch_size, shape.prompt_tokens, request.prompt
                )
                made[shape] = ids, prompts.workload_hash(model, shape.new_tokens, ids)
            ids, workload = made[shape]
            measuring = make_job(cell, self._device, facts, ids, request.repetitions, request.threads)
            jobs[cell.label] = with_gates(measuring), workload
        return jobs

    def _end_if_unsupported(self, cell: Cell, model: Model) -> bool:
        device = self._request.device
        gpus = device.detail.get("gpus", ())
        lacking = support.unsupported(cell, device.kind, model.config, gpus=gpus, offered=self._ready_made)
        if lacking is None:
            try:
                self._taken(cell)
            except CellError as error:
                self._progress.say(f"{cell.label}: {error.outcome}: {first_line(error.reason)}")
                self._end_cell(cell, error.outcome, error.reason)
                return True
            return False
        reason = lacking.note or lacking.state
        self._end_cell(cell, "unsupported", f"{reason} ({lacking.link})" if lacking.link else reason)
        return True

    def _prepare(self, cells: list[Cell]) -> dict[str, Any]:
        """Images (or virtual environments) by engine name; an engine whose build fails loses its cells, no other."""
        wanted = {cell.engine.name: cell.engine for cell in cells}
        asked = {name: (engine, self._request.device.kind) for name, engine in wanted.items()}
        helpers = {engine.name: (engine, kind) for engine, kind in self._standards.engines()} if cells else {}
        found = prepare_all(self._sandbox, list({**helpers, **asked}.values()))
        self._standards.prepared = found
        for name in wanted:
            failure = found[name]
            if isinstance(failure, CellError):
                self._progress.say(f"{name}: {failure.outcome}: {first_line(failure.reason)}")
                for cell in cells:
                    if cell.engine.name == name:
                        self._end_cell(cell, failure.outcome, failure.reason)
        return {name: found[name] for name in wanted if not isinstance(found[name], CellError)}

    def _list_packages(self, cells: list[Cell], prepared: dict[str, Any]) -> None:
        """The bill of materials of every engine. One that cannot be had costs no result."""
        for engine in {cell.engine.name: cell.engine for cell in cells}.values():
            try:
                sbom.save(self._sandbox, engine, prepared[engine.name], self._directory, CACHE, self._progress.say)
            except CellError as error:
                self._progress.say(f"{engine.name}: no list of its packages: {first_line(error.reason)}")

    def _convert(self, cells: list[Cell], model: Model, prepared: dict, facts: ModelFacts) -> dict[str, Path | None]:
        store = Artefacts(self._sandbox, self._progress, hardware(self._request.device), self._request.threads)
        artefacts: dict[str, Path | None] = {}
        for cell in cells:
            kind, image, taken = self._request.device.kind, prepared[cell.engine.name], self._taken(cell)
            try:
                artefacts[cell.label] = (
                    taken.path if taken else store.ensure(cell.engine, kind, cell.variant, model, image, facts)
                )
            except CellError as error:
                self._progress.say(f"{cell.label}: {error.outcome}: {first_line(error.reason)}")
                self._end_cell(cell, error.outcome, error.reason)
        return artefacts

    def _taken(self, cell: Cell) -> ReadyMade | None:
        """The ready-made checkpoint that a cell is measured with. Raises the CellError of one that cannot be had."""
        scheme = support.ready_scheme(cell.variant, self._ready_made)
        found = self._ready_made[scheme] if scheme else None
        if isinstance(found, CellError):
            raise found
        return found

    def _end_cell(self, cell: Cell, outcome: str, reason: str) -> None:
        """The end of a cell that never came to a launch."""
        self._outcomes[cell.label] = outcome
        self._journal.append("cell_end", label=cell.label, outcome=outcome, reason=reason)


def _of_architecture(cell: Cell, model: Model) -> dict[str, str | None] | None:
    """What the folder says of this model's architecture, for the row's footnote."""
    found = support.caveat(cell, model.config)
    return {"note": found.note, "link": found.link} if found else None


@contextmanager
def _as_far_as_the_disk_goes(word: str) -> Iterator[None]:
    """The end of a run that a full disk ended may find no room; the journal, without it, is whole all the same."""
    try:
        yield
    except OSError as error:
        if word != "disk_full" or not is_disk_full(error):
            raise
