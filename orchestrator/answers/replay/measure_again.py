"""A recorded row, measured again. Everything that must be the same is looked at first, what costs least before all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.answers.replay import differences, recorded_row
from orchestrator.answers.replay.differences import Difference
from orchestrator.answers.replay.recorded_row import RecordedRow
from orchestrator.base.errors import UserError
from orchestrator.base.escape import first_line
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.machine import host
from orchestrator.machine.detect import Device
from orchestrator.machine.devices import choose_device
from orchestrator.plan import engine_yaml
from orchestrator.plan.cells import Cell
from orchestrator.plan.engine import Engine
from orchestrator.plan.profiles import Profile
from orchestrator.plan.request import Request
from orchestrator.plan.run_plan import Plan, Subject, find_subject
from orchestrator.report import write
from orchestrator.results import journal
from orchestrator.results.summary import summarise
from orchestrator.run.convert import Artefacts
from orchestrator.run.pipeline import measure
from orchestrator.run.scenario import Generation
from orchestrator.run.session import Setup, Workbench, open_session
from orchestrator.sandbox.task import Prepared

FILE = "replay.json"
WALL_S = 3600  # where a journal does not say how long a launch might take


class Remeasurement:
    """One per command. `anyway` measures even where the verdict can only be `not comparable`."""

    def __init__(self, there: RecordedRow, count: int, workspace: Workspace, progress: Progress, anyway: bool):
        self._there, self._count, self._progress, self._anyway = there, count, progress, anyway
        self._workspace, self._engines = workspace, engine_yaml.discover(workspace.root)
        self._host = host.facts()
        self._differences: list[Difference] = []
        self._notes: list[str] = []
        self._failure: str | None = None
        self._again: RecordedRow | None = None

    def go(self, directory: Path, model_spec: str | None, with_quality: bool | None, matrix: str) -> bool:
        """Compare, and measure into `directory` where it makes sense. False if the run was interrupted.

        Raises UserError where the original's engine or model is not to be had, CellError where nothing can be built.
        """
        there = self._there
        device, why = self._device()
        cell = self._cell()
        threads = there.job.threads
        self._differences += differences.machine_differences(there, device, self._host, why)
        self._differences += differences.launch_differences(there, self._count)
        if cell is None or device is None:
            return True
        self._differences += differences.job_differences(there, cell, threads)
        name = model_spec or there.run["model"]
        subject = self._subject(name, is_given=bool(model_spec))
        self._differences += differences.model_differences(there, subject.model)
        if self._differences and not self._anyway:
            return True
        plan = Plan(self._request(device, cell, name, with_quality), (cell,), subject)
        setup = Setup(there.run["isolation"], threads, memory_limit=there.run.get("memory_limit"))
        with open_session(self._workspace, device, setup, self._engines, self._progress) as bench:
            return self._measure(plan, directory, bench, matrix)

    def conclusion(self, tolerance: float) -> dict[str, Any]:
        """See replay.conclusion."""
        return differences.conclusion(
            self._there, self._again, self._differences, self._notes, tolerance, self._failure
        )  # fmt: skip

    def _measure(self, plan: Plan, directory: Path, bench: Workbench, matrix: str) -> bool:
        there, (cell,) = self._there, plan.cells
        image = self._image(cell.engine, bench)
        artefact = Artefacts(bench).ensure(cell.engine, cell.variant, plan.subject, image)
        self._differences += differences.image_differences(there, image)
        self._differences += differences.artefact_differences(there, artefact)
        self._notes = differences.noted(there, self._host, image)
        if self._differences and not self._anyway:
            return True
        self._progress.say(f"image: {image.tag} ({image.id[:19]})")
        for difference in self._differences:
            self._progress.say(f"measured anyway, though not comparable: {difference.what}")
        scenario = Generation(prompts={there.shape: there.job.prompts})
        uninterrupted = measure(plan, directory, bench, scenario, prepared={cell.engine.name: image})
        summary = summarise(directory)
        path = write.write(directory, summary, matrix)
        self._progress.say(write.where(path))
        if uninterrupted:
            self._read_back(directory, summary["rows"])
        return uninterrupted

    def _image(self, engine: Engine, bench: Workbench) -> Prepared:
        """The very image of the original, by its id, as long as it is still here; else one that is built now."""
        planned = self._there.planned
        image = bench.sandbox.recall(planned["image"], planned["image_id"], tuple(planned["recipe"]))
        return image or bench.sandbox.prepare(engine, bench.device.kind)

    def _read_back(self, directory: Path, rows: list[dict[str, Any]]) -> None:
        row = next(each for each in rows if recorded_row.label_of(each) == self._there.label)
        if row["outcome"] != "ok":
            self._failure = f"{row['outcome']}: {first_line(row['reason'])}"
            return
        self._again = recorded_row.read(directory, list(journal.read(directory)), row)
        self._differences += differences.loaded_differences(self._there, self._again.row)

    # -- what there is on this machine --------------------------------------------------------------------------------

    def _device(self) -> tuple[Device | None, str]:
        """The device of the original's kind, the very same GPUs where they are here; or None and why there is none."""
        was = self._there.run["device"]
        gpus = ",".join(was["ids"]) if was["kind"] in ("cuda", "rocm") else None
        why = ""
        for wanted in dict.fromkeys((gpus, None)):
            try:
                return choose_device(was["kind"], wanted, self._progress.say), ""
            except UserError as error:
                why = str(error)
        return None, why

    def _cell(self) -> Cell | None:
        """The row's engine and variant in this checkout; None, and a difference, where it has them no more."""
        row = self._there.row
        engine = self._engines.get(row["engine"])
        variant = engine.variants.get(row["variant"]) if engine else None
        if engine is None or variant is None:
            what = "variant" if engine else "engine"
            missing = Difference(what, row[what], "not in this checkout", differences.check_out(self._there))
            self._differences.append(missing)
            return None
        return Cell(engine, variant, self._there.shape)

    def _subject(self, name: str, is_given: bool) -> Subject:
        try:
            return find_subject(name, self._workspace.cache, self._progress.say)
        except UserError as error:
            if is_given:
                raise
            raise UserError(f"{error} (the original's model: say with --model where it lies now)") from error

    def _request(self, device: Device, cell: Cell, model: str, with_quality: bool | None) -> Request:
        """What the original's run was asked for, of this one cell, as often as this command wants it."""
        job, run = self._there.job, self._there.run
        return Request(
            device=device, model=model,
            profile=Profile(run["profile"], self._count, job.repetitions, run["is_measurement"]),
            contenders=((cell.engine, cell.variant),), shapes=(cell.shape,), launches=self._count,
            repetitions=job.repetitions, threads=job.threads, seed=run["seed"], prompt=run.get("prompt"),
            wall_s=run.get("wall_s", WALL_S), memory_limit=run.get("memory_limit"),
            with_quality=run["with_quality"] if with_quality is None else with_quality,
        )  # fmt: skip
