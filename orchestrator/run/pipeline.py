"""One run into a results directory: plan -> runnable -> built -> converted -> launchable -> verdicts.

Each phase takes the records that the phase before returned (see cell_states) and returns the next record of each cell,
or a CellEnd: the journal records its outcome, the cell drops out, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from orchestrator.base.errors import CellError, is_disk_full
from orchestrator.base.escape import first_line
from orchestrator.base.progress import duration
from orchestrator.base.signals import terminated_as_interrupt, uninterrupted
from orchestrator.machine.guard import DeviceUnusable
from orchestrator.plan import support
from orchestrator.plan.run_plan import Plan
from orchestrator.run.baselines import Baselines, Images
from orchestrator.run.cell_states import Built, CellEnd, Converted, Launchable, Runnable
from orchestrator.run.convert import Artefacts, identity
from orchestrator.run.job import launch_key
from orchestrator.run.launcher import Launcher
from orchestrator.run.references import Helper
from orchestrator.run.run_record import Run, RunJournal, described
from orchestrator.run.scenario import GENERATION, Scenario
from orchestrator.run.schedule import Schedule
from orchestrator.run.session import Workbench
from orchestrator.sandbox import sbom
from orchestrator.sandbox.prepare import prepare_all
from orchestrator.sandbox.task import Prepared

BAR = "launches"


def measure(
    plan: Plan,
    directory: Path,
    bench: Workbench,
    scenario: Scenario = GENERATION,
    prepared: Mapping[str, Prepared] | None = None,
) -> bool:
    """Measure the plan's cells into `directory`; False if the run was interrupted.

    `prepared` are images, by engine, that are used instead of building them. Ctrl-C or SIGTERM stops whatever runs and
    closes the journal with `interrupted`; a full disk does the same with `disk_full`.
    """
    run = Run(plan, bench, RunJournal(directory, plan.cells))
    run.journal.append("run", **described(plan.request, plan.cells, bench.sandbox.isolation))
    outcome = "harness_error"
    try:
        with terminated_as_interrupt():
            _measure(run, scenario, prepared or {})
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        bench.progress.say("interrupted: stopping what runs; `--resume` continues from here")
    except OSError as error:
        if not is_disk_full(error):
            raise
        outcome = "disk_full"
        bench.progress.say(f"disk full: {error}; what is measured is kept, `--resume` continues from here")
    finally:
        with uninterrupted():
            bench.progress.end()
            bench.sandbox.stop()
            run.journal.close(outcome)
    return outcome != "interrupted"


def _measure(run: Run, scenario: Scenario, prepared: Mapping[str, Prepared]) -> None:
    """The phases in order."""
    journal = run.journal
    try:
        subject = run.plan.subject
    except CellError as error:
        journal.keep(CellEnd(cell, error.outcome, error.reason) for cell in run.plan.cells)
        return
    journal.append("model", **subject.described())
    runnable = journal.keep(check(run))
    if not runnable:
        return
    images = build(runnable, scenario.helpers(run), run, prepared)
    built = journal.keep(with_images(runnable, images, run))
    list_packages(built, run)
    converted = journal.keep(convert(built, run))
    if not converted:
        return
    baselines = scenario.measure_baselines(run, converted, images)
    journal.append("standards", **baselines.described())
    launch_all([make_launchable(state, run, scenario, baselines) for state in converted], run, scenario, baselines)


def check(run: Run) -> Iterator[Runnable | CellEnd]:
    """Drop the cells that the device, the model or the ready-made checkpoints rule out."""
    for cell in run.plan.cells:
        lacking = run.plan.lacking(cell)
        if lacking:
            reason = lacking.note or lacking.state
            yield CellEnd(cell, "unsupported", f"{reason} ({lacking.link})" if lacking.link else reason)
            continue
        try:
            yield Runnable(cell, run.plan.checkpoint(cell))
        except CellError as error:
            run.bench.progress.say(f"{cell.label}: {error.outcome}: {first_line(error.reason)}")
            yield CellEnd(cell, error.outcome, error.reason)


def build(cells: Sequence[Runnable], helpers: Sequence[Helper], run: Run, prepared: Mapping[str, Prepared]) -> Images:
    """Build the images (or virtual environments) of contenders and helpers, by engine name."""
    wanted = {helper.engine.name: (helper.engine, helper.kind) for helper in helpers}
    wanted |= {state.cell.engine.name: (state.cell.engine, run.bench.device.kind) for state in cells}
    missing = [engine for name, engine in wanted.items() if name not in prepared]
    return {**prepare_all(run.bench.sandbox, missing), **prepared}


def with_images(cells: Sequence[Runnable], images: Images, run: Run) -> Iterator[Built | CellEnd]:
    """Attach the images; a failed build ends the cells of its engine only."""
    reported = set()
    for state in cells:
        name, image = state.cell.engine.name, images[state.cell.engine.name]
        if not isinstance(image, CellError):
            yield Built(state.cell, state.checkpoint, image)
            continue
        if name not in reported:
            run.bench.progress.say(f"{name}: {image.outcome}: {first_line(image.reason)}")
            reported.add(name)
        yield CellEnd(state.cell, image.outcome, image.reason)


def list_packages(cells: Sequence[Built], run: Run) -> None:
    """Save the bill of materials of every engine. One that fails is reported and ends no cell."""
    bench, directory = run.bench, run.journal.directory
    for engine, image in {state.cell.engine.name: (state.cell.engine, state.image) for state in cells}.values():
        try:
            sbom.save(bench.sandbox, engine, image, directory, bench.workspace.cache, bench.progress.say)
        except CellError as error:
            bench.progress.say(f"{engine.name}: no list of its packages: {first_line(error.reason)}")


def convert(cells: Sequence[Built], run: Run) -> Iterator[Converted | CellEnd]:
    """Attach the model as each engine loads it: converted, ready-made, or the checkpoint itself."""
    artefacts, subject = Artefacts(run.bench), run.plan.subject
    for state in cells:
        cell, checkpoint, image = state.cell, state.checkpoint, state.image
        try:
            artefact = checkpoint.path if checkpoint else artefacts.ensure(cell.engine, cell.variant, subject, image)
        except CellError as error:
            run.bench.progress.say(f"{cell.label}: {error.outcome}: {first_line(error.reason)}")
            yield CellEnd(cell, error.outcome, error.reason)
        else:
            yield Converted(cell, checkpoint, image, artefact)


def make_launchable(state: Converted, run: Run, scenario: Scenario, baselines: Baselines) -> Launchable:
    """The cell with the jobs of its launches; the journal records their keys."""
    cell, image, checkpoint, model = state.cell, state.image, state.checkpoint, run.plan.subject.model
    workload, jobs = scenario.jobs(run, state, baselines)
    keys = [launch_key(image.tag, model.digest, state.artefact, job, block) for block, job in enumerate(jobs)]
    loaded = {"name": checkpoint.path.parent.name, "digest": checkpoint.digest} if checkpoint else None
    caveat = support.caveat(cell, model.config)
    run.journal.append(
        "cell", label=cell.label, workload=workload, image=image.tag, image_id=image.id, recipe=image.recipe,
        artefact=loaded or identity(state.artefact), keys=keys,
        architecture={"note": caveat.note, "link": caveat.link} if caveat else None,
        ready_made=checkpoint.described() if checkpoint else None,
    )  # fmt: skip
    return Launchable(cell, checkpoint, image, state.artefact, jobs, keys)


def launch_all(cells: Sequence[Launchable], run: Run, scenario: Scenario, baselines: Baselines) -> None:
    """Launch every cell in every block. An unusable device ends all cells that have no outcome yet."""
    schedule = Schedule(cells, run.plan.request, run.journal.measured_keys())
    launcher = Launcher(run, scenario, baselines)
    try:
        _launch_scheduled(schedule, launcher, run)
    except DeviceUnusable as error:
        run.bench.progress.say(f"{error.outcome}: {error}; no further launch on this device")
        remaining = [state.cell for state in cells if run.journal.is_open(state.cell)]
        run.journal.keep(CellEnd(cell, error.outcome, str(error)) for cell in remaining)
    finally:
        launcher.close()


def _launch_scheduled(schedule: Schedule, launcher: Launcher, run: Run) -> None:
    progress, total = run.bench.progress, len(schedule)
    durations: list[float] = []  # seconds of each launch, to estimate the remaining time
    for turn in schedule:
        due, number = turn.due, turn.number
        if isinstance(due, CellEnd):
            run.journal.keep([due])
            progress.say(f"{due.cell.label}: {due.reason}")
            continue
        where = f"[{number}/{total}] {due.cell.label} launch {due.block + 1}/{run.plan.request.launches}"
        outcome = "ok"
        if turn.is_measured:
            progress.say(f"{where}: measured already, kept")
        else:
            left = f", about {duration(fmean(durations) * (total - number + 1))} left" if durations else ""
            progress.say(f"{where}{left}")
            progress.bar(number - 1, total, f"launches{left}", BAR)
            started = time.monotonic()
            verdict = launcher.launch(due)
            durations.append(time.monotonic() - started)
            outcome = verdict.outcome
            if outcome != "ok":
                progress.say(f"  {outcome}: {first_line(verdict.reason)}")
        schedule.learn(due.cell, outcome)
        run.journal.settle(due.cell)
