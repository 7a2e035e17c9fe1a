"""One launch: a task in a fresh sandbox, monitored, judged and recorded, and repeated if it was disturbed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.base.errors import CellError, UserError
from orchestrator.base.files import write_json
from orchestrator.base.outcomes import OUTCOMES
from orchestrator.base.signals import uninterrupted
from orchestrator.judge import own_speed
from orchestrator.judge.verdict import Verdict
from orchestrator.machine.guard import DeviceGuard, DeviceUnusable
from orchestrator.machine.monitor.sampling import Monitor
from orchestrator.results import journal
from orchestrator.run.baselines import Baselines
from orchestrator.run.cell_states import Launch
from orchestrator.run.run_record import Run
from orchestrator.run.scenario import Scenario
from orchestrator.sandbox.task import Ended, Prepared, Task

NOISY_REPEATS = 2
IDLE_S = 1.0  # of samples before a launch: what the device draws when nothing runs
CPU_INTERVAL_S, GPU_INTERVAL_S = 0.5, 0.05  # a GPU's memory and power must be sampled; a CPU has counters


class Launcher:
    """One per run; each launch is in the journal before the next one starts."""

    def __init__(self, run: Run, scenario: Scenario, baselines: Baselines):
        self._request, self._model = run.plan.request, run.plan.subject.model
        self._bench, self._journal, self._say = run.bench, run.journal, run.bench.progress.say
        self._scenario, self._baselines = scenario, baselines
        self._guard = DeviceGuard(run.bench.device, self._say)

    def close(self) -> None:
        self._guard.close()

    def launch(self, launch: Launch) -> Verdict:
        """Launch once, and up to NOISY_REPEATS times more while the host is noisy; the summary takes the last one.

        Raises DeviceUnusable if no further launch on this device makes sense.
        """
        current = launch
        for number in range(1, NOISY_REPEATS + 2):
            verdict, current = self._launch_with_retry(current)
            # A quick run repeats failures only: noise makes cold_prefix fail on prefills of 10 ms.
            is_repeated = verdict.noisy and (self._request.profile.is_measurement or verdict.outcome != "ok")
            if not is_repeated or number > NOISY_REPEATS:
                break
            self._say(f"  the host was noisy: repeated ({number} of {NOISY_REPEATS})")
        if verdict.outcome == "ok":
            self._own_benchmark(launch)
        return verdict

    def _launch_with_retry(self, launch: Launch) -> tuple[Verdict, Launch]:
        """Launch; once more if the GPU was lost, or without the exam if only that failed.

        Returns the launch that gave the verdict, too: it may be the one without the exam.
        """
        verdict = self._try(launch)
        if verdict.outcome == "gpu_lost":
            self._say("  gpu_lost: tried once more in a fresh container")
            verdict = self._try(launch)
            if verdict.outcome == "gpu_lost":
                raise DeviceUnusable("gpu_lost", verdict.reason or "")
        failed_afterwards = OUTCOMES[verdict.outcome].stops_cell and verdict.measured and not verdict.gates
        lighter = self._scenario.lighter(launch.job) if failed_afterwards else None
        if lighter is None:
            return verdict, launch
        self._say(f"  {verdict.outcome} while its quality was examined: measured again without")
        launch = replace(launch, job=lighter)
        return self._try(launch), launch

    def _try(self, launch: Launch) -> Verdict:
        task = self._task(launch, self._scenario.module, self._new_directory(launch))
        started, wall_s = journal.now(), None
        try:
            self._guard.before()
            ended, machine = self._run_monitored(launch.ready.image, task)
            wall_s = ended.wall_s
            verdict = self._scenario.judge(launch, ended, task.directory, machine, self._baselines)
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
        """Run the benchmark that the engine ships, right after our launch, with the same artefact and threads."""
        module = self._scenario.own_benchmark(launch)
        if module is None or not self._request.profile.is_measurement:
            return
        task = self._task(launch, module, self._new_directory(launch, "-own"))
        try:
            record = own_speed.own_benchmark(self._bench.sandbox.run(launch.ready.image, task), task.directory)
        except CellError as error:
            record = {"decode_tps": None, "prefill_tps": None, "reason": error.reason}
        self._journal.append("own_benchmark", label=launch.cell.label, block=launch.block, key=launch.key, **record)

    def _run_monitored(self, image: Prepared, task: Task) -> tuple[Ended, dict[str, Any]]:
        """Run a task while the host samples the machine's state; the record is stored as machine.json."""
        on_cpu = self._bench.device.kind == "cpu"
        monitor = Monitor(self._bench.device, interval_s=CPU_INTERVAL_S if on_cpu else GPU_INTERVAL_S)
        monitor.start()
        try:
            monitor.idle(IDLE_S if self._request.profile.is_measurement else 0)
            monitor.mark("launch")
            if not on_cpu:
                monitor.watch(self._bench.sandbox.pids)
            ended = self._bench.sandbox.run(image, task)
        finally:
            machine = monitor.stop()
            write_json(task.directory / "machine.json", machine)
        return ended, machine

    def _task(self, launch: Launch, module: str, directory: Path) -> Task:
        return self._bench.task(
            launch.cell.engine, module, launch.job, directory, model=self._model.path, artefact=launch.ready.artefact,
            wall_s=self._request.wall_s, hang_s=self._request.hang_s,
        )  # fmt: skip

    def _record(self, launch: Launch, directory: Path, started: str, verdict: Verdict, wall_s: float | None) -> None:
        with uninterrupted():
            self._journal.append(
                "launch", label=launch.cell.label, block=launch.block, key=launch.key, outcome=verdict.outcome,
                reason=verdict.reason, gates=verdict.gates, noisy=verdict.noisy,
                directory=str(directory.relative_to(self._journal.directory)), started=started, wall_s=wall_s,
            )  # fmt: skip

    def _new_directory(self, launch: Launch, suffix: str = "") -> Path:
        """Make a new directory for a launch; earlier tries keep theirs."""
        name = f"{launch.cell.label}-{launch.block + 1}-{launch.key[:8]}{suffix}"
        parent = self._journal.directory / "launches"
        parent.mkdir(exist_ok=True)
        for attempt in range(1, 1000):
            directory = parent / (name if attempt == 1 else f"{name}-try{attempt}")
            with suppress(FileExistsError):
                (directory / "out").mkdir(parents=True)
                return directory
        raise UserError(f"{parent / name} was tried a thousand times")
