"""A recorded row, measured again. Everything that must be the same is looked at first, what costs least before all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.answers.replay import differences, recorded_row
from orchestrator.answers.replay.differences import Difference, Recalling
from orchestrator.answers.replay.recorded_row import RecordedRow
from orchestrator.base.errors import UserError
from orchestrator.base.escape import first_line
from orchestrator.base.paths import CACHE
from orchestrator.base.progress import Progress
from orchestrator.machine import host
from orchestrator.machine.detect import Device
from orchestrator.machine.devices import choose_device
from orchestrator.machine.lock import device_lock
from orchestrator.machine.site import Site
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.model import Model
from orchestrator.models.resolve import resolve
from orchestrator.plan import engine_yaml
from orchestrator.plan.cells import Cell
from orchestrator.plan.profiles import Profile
from orchestrator.plan.request import Request
from orchestrator.report import write
from orchestrator.results import journal
from orchestrator.results.summary import summarise
from orchestrator.run.convert import Artefacts, hardware
from orchestrator.run.pipeline import Run
from orchestrator.sandbox.isolation import sandbox_for

FILE = "replay.json"
WALL_S = 3600  # where a journal does not say how long a launch might take


class Remeasurement:
    """One per command. `anyway` measures even where the verdict can only be `not comparable`."""

    def __init__(self, there: RecordedRow, count: int, progress: Progress, anyway: bool):
        self._there, self._count, self._progress, self._anyway = there, count, progress, anyway
        self._known = engine_yaml.discover()
        self._host = host.facts()
        self._differences: list[Difference] = []
        self._notes: list[str] = []
        self._spec = ""
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
        model = self._model(model_spec)
        self._differences += differences.model_differences(there, model)
        if self._differences and not self._anyway:
            return True
        with device_lock(device, CACHE / "locks"):
            return self._measure(directory, device, cell, model, with_quality, matrix)

    def conclusion(self, tolerance: float) -> dict[str, Any]:
        """See replay.conclusion."""
        return differences.conclusion(
            self._there, self._again, self._differences, self._notes, tolerance, self._failure
        )  # fmt: skip

    def _measure(
        self, directory: Path, device: Device, cell: Cell, model: Model, with_quality: bool | None, matrix: str
    ) -> bool:
        there = self._there
        limit = there.run.get("memory_limit")
        inner = sandbox_for(there.run["isolation"], device, Site.read(), self._progress, memory_limit=limit)
        sandbox = Recalling(inner, there)
        prepared = sandbox.prepare(cell.engine, device.kind)
        store = Artefacts(sandbox, self._progress, hardware(device), there.job.threads)
        facts = replace(there.job.model, digest=model.digest, parameters=ParameterCounts.of(model.path).parameters)
        artefact = store.ensure(cell.engine, device.kind, cell.variant, model, prepared, facts)
        self._differences += differences.image_differences(there, prepared)
        self._differences += differences.artefact_differences(there, artefact)
        self._notes = differences.noted(there, self._host, prepared)
        if self._differences and not self._anyway:
            return True
        self._progress.say(f"image: {prepared.tag} ({prepared.id[:19]})")
        for difference in self._differences:
            self._progress.say(f"measured anyway, though not comparable: {difference.what}")
        request = Request(
            device=device, model=self._spec, profile=self._profile(), launches=self._count,
            repetitions=there.job.repetitions, threads=there.job.threads, seed=there.run["seed"],
            prompt=there.run.get("prompt"), wall_s=there.run.get("wall_s", WALL_S),
            with_quality=there.run["with_quality"] if with_quality is None else with_quality, memory_limit=limit,
        )  # fmt: skip
        again = Run(
            request, directory, sandbox, lambda: model, self._progress, self._known,
            {there.shape: there.job.prompts},
        )  # fmt: skip
        uninterrupted = again.go([cell])
        summary = summarise(directory)
        path = write.write(directory, summary, matrix)
        self._progress.say(write.where(path))
        if uninterrupted:
            self._read_back(directory, summary["rows"])
        return uninterrupted

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
        engine = self._known.get(row["engine"])
        variant = engine.variants.get(row["variant"]) if engine else None
        if engine is None or variant is None:
            what = "variant" if engine else "engine"
            missing = Difference(what, row[what], "not in this checkout", differences.check_out(self._there))
            self._differences.append(missing)
            return None
        return Cell(engine, variant, self._there.shape)

    def _model(self, spec: str | None) -> Model:
        wanted = spec or self._there.run["model"]
        self._spec = wanted
        try:
            return resolve(wanted, CACHE, say=self._progress.say)
        except UserError as error:
            if spec:
                raise
            raise UserError(f"{error} (the original's model: say with --model where it lies now)") from error

    def _profile(self) -> Profile:
        recorded = self._there.run
        return Profile(
            recorded["profile"], self._count, self._there.job.repetitions, recorded["is_measurement"]
        )  # fmt: skip
