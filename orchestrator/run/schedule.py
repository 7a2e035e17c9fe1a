"""The launches of a run: which comes next, how often it is tried, and what the journal says of it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from common.contract import Job
from orchestrator.base.errors import CellError, UserError
from orchestrator.base.escape import first_line
from orchestrator.base.files import write_json
from orchestrator.base.outcomes import OUTCOMES
from orchestrator.base.progress import Progress, duration
from orchestrator.base.signals import uninterrupted
from orchestrator.judge import own_speed
from orchestrator.judge.verdict import Verdict, judge_launch
from orchestrator.machine.guard import DeviceGuard, DeviceUnusable
from orchestrator.machine.monitor.sampling import Monitor
from orchestrator.models.model import Model
from orchestrator.plan.cells import Cell, order
from orchestrator.plan.request import Request
from orchestrator.results import journal
from orchestrator.results.journal import Journal
from orchestrator.run.baselines import Baselines
from orchestrator.sandbox.task import Ended, Sandbox, Task, thread_environment

NOISY_REPEATS = 2
BAR = "launches"
IDLE_S = 1.0  # of samples before a launch: what the device draws when nothing runs
CPU_INTERVAL_S, GPU_INTERVAL_S = 0.5, 0.05  # a GPU's memory and power are sampled, of a CPU only clocks and counters


@dataclass(frozen=True)
class Launchable:
    """A cell with all that its launches need; `jobs` and `keys` hold one entry a block."""

    cell: Cell
    image: Any
    artefact: Path | None
    jobs: list[Job]
    keys: list[str]


@dataclass(frozen=True)
class Launch:
    """One launch that is due."""

    ready: Launchable
    block: int
    job: Job

    @property
    def cell(self) -> Cell:
        return self.ready.cell

    @property
    def key(self) -> str:
        return self.ready.keys[self.block]


class Schedule:
    """One per run; each launch is in the journal before the next one starts."""

    def __init__(
        self, request: Request, directory: Path, sandbox: Sandbox, progress: Progress, standards: Baselines,
        model: Model, record: Journal,
    ):  # fmt: skip
        self._request, self._directory, self._sandbox, self._progress = request, directory, sandbox, progress
        self._standards, self._model, self._journal = standards, model, record
        self._guard = DeviceGuard(request.device, progress.say)

    def all(self, cells: list[Launchable], outcomes: dict[str, str]) -> None:
        """Launch every cell in every block, in shuffled order; `outcomes` (by label) is kept up as they end."""
        try:
            self._all(cells, outcomes)
        except DeviceUnusable as error:
            self._progress.say(f"{error.outcome}: {error}; no further launch on this device")
            for ready in cells:
                if ready.cell.label not in outcomes:
                    outcomes[ready.cell.label] = error.outcome
                    record = {"label": ready.cell.label, "outcome": error.outcome, "reason": str(error)}
                    self._journal.append("cell_end", **record)
        finally:
            self._guard.close()

    def _all(self, cells: list[Launchable], outcomes: dict[str, str]) -> None:
        by_label = {ready.cell.label: ready for ready in cells}
        sequence = order([ready.cell for ready in cells], self._request.launches, self._request.seed)
        done = {
            record["key"]
            for record in journal.read(self._directory)
            if record["kind"] == "launch" and record["outcome"] == "ok"
        }
        took: list[float] = []
        for number, (block, cell) in enumerate(sequence, 1):
            if cell.label in outcomes and OUTCOMES[outcomes[cell.label]].stops_cell:
                continue
            if smaller := self._out_of_memory(cell, by_label, outcomes):
                outcomes[cell.label] = outcomes[smaller.label]
                reason = f"skipped after oom: a smaller shape of this variant, {smaller.shape}, ran out of memory"
                self._journal.append("cell_end", label=cell.label, outcome=outcomes[cell.label], reason=reason)
                self._progress.say(f"{cell.label}: {reason}")
                continue
            ready = by_label[cell.label]
            launch = Launch(ready, block, ready.jobs[block])
            where = f"[{number}/{len(sequence)}] {cell.label} launch {block + 1}/{self._request.launches}"
            if launch.key in done:
                self._progress.say(f"{where}: measured already, kept")
                outcomes.setdefault(cell.label, "ok")
                continue
            left = f", about {duration(fmean(took) * (len(sequence) - number + 1))} left" if took else ""
            self._progress.say(f"{where}{left}")
            self._progress.bar(number - 1, len(sequence), f"launches{left}", BAR)
            started = time.monotonic()
            verdict = self._repeated(launch)
            if verdict.outcome == "ok":
                self._own_benchmark(launch)
            took.append(time.monotonic() - started)
            if verdict.outcome != "ok" or cell.label not in outcomes:
                outcomes[cell.label] = verdict.outcome
            if verdict.outcome != "ok":
                self._progress.say(f"  {verdict.outcome}: {first_line(verdict.reason)}")

    @staticmethod
    def _out_of_memory(cell: Cell, cells: dict[str, Launchable], outcomes: dict[str, str]) -> Cell | None:
        """A cell of the same variant that ran out of memory, though `cell` needs no less in any respect."""
        for ready in cells.values():
            other = ready.cell
            alike = (other.engine.name, other.variant.name) == (cell.engine.name, cell.variant.name)
            if (
                alike
                and other.label in outcomes
                and OUTCOMES[outcomes[other.label]].is_out_of_memory
                and cell.label not in outcomes
                and other.shape.within(cell.shape)
            ):
                return other
        return None

    def _repeated(self, launch: Launch) -> Verdict:
        """One launch, and up to two more where the host was noisy meanwhile; all are kept, the summary takes the last.

        In a run that is no measurement only a failure is worth the time: cold_prefix failed on 10 ms prefills that way.
        Where the exam ended a launch whose speed was measured, the speed is taken again without the exam.
        """
        for number in range(1, NOISY_REPEATS + 2):
            verdict = self._try(launch)
            if verdict.outcome == "gpu_lost":
                self._progress.say("  gpu_lost: tried once more in a fresh container")
                verdict = self._try(launch)
                if verdict.outcome == "gpu_lost":
                    raise DeviceUnusable("gpu_lost", verdict.reason)
            broke_after = OUTCOMES[verdict.outcome].stops_cell and verdict.measured and not verdict.gates
            if broke_after and launch.job.score:
                self._progress.say(f"  {verdict.outcome} while its quality was examined: measured again without")
                launch = Launch(launch.ready, launch.block, replace(launch.job, score=[], ask=None))
                verdict = self._try(launch)
            worth = verdict.noisy and (self._request.profile.is_measurement or verdict.outcome != "ok")
            if not worth or number > NOISY_REPEATS:
                return verdict
            self._progress.say(f"  the host was noisy: repeated ({number} of {NOISY_REPEATS})")
        raise AssertionError("unreachable")

    def _try(self, launch: Launch) -> Verdict:
        task = self._task(launch, "bench", self._fresh(launch))
        started, wall_s = journal.now(), None
        try:
            self._guard.before()
            ended, machine = self._watched(launch.ready.image, task)
            wall_s = ended.wall_s
            context = self._standards.context(launch.cell.shape, launch.ready.artefact, launch.cell.engine.test_only)
            verdict = judge_launch(ended, task.directory, launch.job, context, machine)
            if "gpu_lost" in machine["flags"]:
                verdict = Verdict("gpu_lost", "the driver lost the GPU while it was measured", None, {})
        except CellError as error:
            verdict = Verdict(error.outcome, error.reason, None, {})
        except KeyboardInterrupt:
            stopped = Verdict("interrupted", "stopped by the user", None, {})
            self._record(launch, task.directory, started, stopped, None)
            raise
        self._record(launch, task.directory, started, verdict, wall_s)
        if wall_s is not None and verdict.outcome != "gpu_lost":
            self._guard.after()
        return verdict

    def _own_benchmark(self, launch: Launch) -> None:
        """The benchmark that the engine ships, right after our launch and with the same artefact and threads."""
        own = launch.cell.engine.folder / "own_benchmark.py"
        if not own.is_file() or not self._request.profile.is_measurement or launch.cell.shape.batch_size != 1:
            return
        task = self._task(launch, "own_benchmark", self._fresh(launch, "-own"))
        try:
            told = own_speed.own_benchmark(self._sandbox.run(launch.ready.image, task), task.directory)
        except CellError as error:
            told = {"decode_tps": None, "prefill_tps": None, "reason": error.reason}
        self._journal.append("own_benchmark", label=launch.cell.label, block=launch.block, key=launch.key, **told)

    def _watched(self, image: Any, task: Task) -> tuple[Ended, dict[str, Any]]:
        """Run a task while the host samples the machine's state; the record is kept as machine.json."""
        on_cpu = self._request.device.kind == "cpu"
        monitor = Monitor(self._request.device, interval_s=CPU_INTERVAL_S if on_cpu else GPU_INTERVAL_S)
        monitor.start()
        try:
            monitor.idle(IDLE_S if self._request.profile.is_measurement else 0)
            monitor.mark("launch")
            if not on_cpu:
                monitor.watch(self._sandbox.pids)
            ended = self._sandbox.run(image, task)
        finally:
            machine = monitor.stop()
            write_json(task.directory / "machine.json", machine)
        return ended, machine

    def _task(self, launch: Launch, module: str, directory: Path) -> Task:
        engine = launch.cell.engine
        return Task(
            engine=engine.name, module=f"{engine.folder.name}.{module}", job=launch.job, directory=directory,
            out=directory / "out", model=self._model.path, artefact=launch.ready.artefact,
            wall_s=self._request.wall_s, hang_s=self._request.hang_s,
            environment=thread_environment(self._request.threads),
        )  # fmt: skip

    def _record(self, launch: Launch, directory: Path, started: str, verdict: Verdict, wall_s: float | None) -> None:
        with uninterrupted():
            self._journal.append(
                "launch", label=launch.cell.label, block=launch.block, key=launch.key, outcome=verdict.outcome,
                reason=verdict.reason, gates=verdict.gates, noisy=verdict.noisy,
                directory=str(directory.relative_to(self._directory)), started=started, wall_s=wall_s,
            )  # fmt: skip

    def _fresh(self, launch: Launch, suffix: str = "") -> Path:
        """A new directory for a launch; an earlier, failed try keeps its own."""
        name = f"{launch.cell.label}-{launch.block + 1}-{launch.key[:8]}{suffix}"
        parent = self._directory / "launches"
        parent.mkdir(exist_ok=True)
        for attempt in range(1, 1000):
            directory = parent / (name if attempt == 1 else f"{name}-try{attempt}")
            with suppress(FileExistsError):
                (directory / "out").mkdir(parents=True)
                return directory
        raise UserError(f"{parent / name} was tried a thousand times")
