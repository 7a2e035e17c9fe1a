"""Measures a recorded row again, after comparing everything that must be the same, the cheapest comparison first."""

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
WALL_S = 3600  # the time limit of a launch where the journal records none


class Remeasurement:
    """The replay of one row. `anyway` measures even where the verdict can only be `not comparable`."""

    def __init__(self, original: RecordedRow, count: int, workspace: Workspace, progress: Progress, anyway: bool):
        self._original, self._count, self._progress, self._anyway = original, count, progress, anyway
        self._workspace, self._engines = workspace, engine_yaml.discover(workspace.root)
        self._host = host.facts()
        self._differences: list[Difference] = []
        self._notes: list[str] = []
        self._failure: str | None = None
        self._replayed: RecordedRow | None = None

    def run(self, directory: Path, model_spec: str | None, with_quality: bool | None, matrix: str) -> bool:
        """Compare, and measure into `directory` unless the rows differ. False if the run was interrupted.

        Raises UserError where the original's engine or model is not available, CellError where a build fails.
        """
        original = self._original
        device, why = self._device()
        cell = self._cell()
        threads = original.job.threads
        self._differences += differences.machine_differences(original, device, self._host, why)
        self._differences += differences.launch_differences(original, self._count)
        if cell is None or device is None:
            return True
        self._differences += differences.job_differences(original, cell, threads)
        name = model_spec or original.run["model"]
        subject = self._subject(name, is_given=bool(model_spec))
        self._differences += differences.model_differences(original, subject.model)
        if self._differences and not self._anyway:
            return True
        plan = Plan(self._request(device, cell, name, with_quality), (cell,), subject)
        setup = Setup(original.run["isolation"], threads, memory_limit=original.run.get("memory_limit"))
        with open_session(self._workspace, device, setup, self._engines, self._progress) as bench:
            return self._measure(plan, directory, bench, matrix)

    def conclusion(self, tolerance: float) -> dict[str, Any]:
        """See `differences.conclusion`."""
        return differences.conclusion(
            self._original, self._replayed, self._differences, self._notes, tolerance, self._failure
        )

    def _measure(self, plan: Plan, directory: Path, bench: Workbench, matrix: str) -> bool:
        original, (cell,) = self._original, plan.cells
        image = self._image(cell.engine, bench)
        artefact = Artefacts(bench).ensure(cell.engine, cell.variant, plan.subject, image)
        self._differences += differences.image_differences(original, image)
        self._differences += differences.artefact_differences(original, artefact)
        self._notes = differences.noted(original, self._host, image)
        if self._differences and not self._anyway:
            return True
        self._progress.say(f"image: {image.tag} ({image.id[:19]})")
        for difference in self._differences:
            self._progress.say(f"measured anyway, though not comparable: {difference.what}")
        scenario = Generation(prompts={original.shape: original.job.prompts})
        uninterrupted = measure(plan, directory, bench, scenario, prepared={cell.engine.name: image})
        summary = summarise(directory)
        path = write.write(directory, summary, matrix)
        self._progress.say(write.where(path))
        if uninterrupted:
            self._read_back(directory, summary["rows"])
        return uninterrupted

    def _image(self, engine: Engine, bench: Workbench) -> Prepared:
        """The original's own image, by its id, where it still exists; else a newly built one."""
        planned = self._original.planned
        image = bench.sandbox.recall(planned["image"], planned["image_id"], tuple(planned["recipe"]))
        return image or bench.sandbox.prepare(engine, bench.device.kind)

    def _read_back(self, directory: Path, rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if recorded_row.label_of(row) == self._original.label)
        if row["outcome"] != "ok":
            self._failure = f"{row['outcome']}: {first_line(row['reason'])}"
            return
        self._replayed = recorded_row.read(directory, list(journal.read(directory)), row)
        self._differences += differences.loaded_differences(self._original, self._replayed.row)

    # -- this machine's counterparts of what the original used ---------------------------------------------------------

    def _device(self) -> tuple[Device | None, str]:
        """(a device of the original's kind, the same GPUs if possible, ""); or (None, the reason why there is none)."""
        recorded = self._original.run["device"]
        gpus = ",".join(recorded["ids"]) if recorded["kind"] in ("cuda", "rocm") else None
        why = ""
        for wanted in dict.fromkeys((gpus, None)):
            try:
                return choose_device(recorded["kind"], wanted, self._progress.say), ""
            except UserError as error:
                why = str(error)
        return None, why

    def _cell(self) -> Cell | None:
        """The row's engine and variant in this checkout; None, and a difference, where it lacks one of them."""
        row = self._original.row
        engine = self._engines.get(row["engine"])
        variant = engine.variants.get(row["variant"]) if engine else None
        if engine is None or variant is None:
            what = "variant" if engine else "engine"
            missing = Difference(what, row[what], "not in this checkout", differences.check_out(self._original))
            self._differences.append(missing)
            return None
        return Cell(engine, variant, self._original.shape)

    def _subject(self, name: str, is_given: bool) -> Subject:
        try:
            return find_subject(name, self._workspace.cache, self._progress.say)
        except UserError as error:
            if is_given:
                raise
            raise UserError(f"{error} (the original's model: say with --model where it lies now)") from error

    def _request(self, device: Device, cell: Cell, model: str, with_quality: bool | None) -> Request:
        """The original's request, restricted to this cell, with this command's number of launches."""
        job, run = self._original.job, self._original.run
        return Request(
            device=device, model=model,
            profile=Profile(run["profile"], self._count, job.repetitions, run["is_measurement"]),
            contenders=((cell.engine, cell.variant),), shapes=(cell.shape,), launches=self._count,
            repetitions=job.repetitions, threads=job.threads, seed=run["seed"], prompt=run.get("prompt"),
            wall_s=run.get("wall_s", WALL_S), memory_limit=run.get("memory_limit"),
            with_quality=run["with_quality"] if with_quality is None else with_quality,
        )  # fmt: skip
