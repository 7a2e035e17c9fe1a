"""`./benchmark.sh [run]`: from a request to a directory of results."""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import Any

from orchestrator import host, journal, launches, plan, prompts
from orchestrator.artefacts import Artefacts
from orchestrator.devices import Device
from orchestrator.engines import Engine
from orchestrator.errors import CellError, UserError
from orchestrator.models import Model
from orchestrator.models.store import write_json
from orchestrator.monitor import Monitor
from orchestrator.preparation import prepare_all
from orchestrator.progress import Progress, duration
from orchestrator.sandbox import Ended, Sandbox, Task, thread_environment
from orchestrator.standards import Setting, Standards
from orchestrator.tables import first_line
from orchestrator.weights import Weights

STOPPING = ("load_failed", "engine_error", "oom_host", "oom_suspected", "oom_gpu", "timeout_wall", "timeout_hung",
            "invalid_output", "no_result", "unsupported")  # fmt: skip
"""Outcomes after which further launches of the same cell would only repeat the failure."""
NOISY_REPEATS = 2
IDLE_S = 1.0  # of samples before a launch: what the device draws when nothing runs
CPU_INTERVAL_S, GPU_INTERVAL_S = 0.5, 0.05  # a GPU's memory and power are sampled, of a CPU only clocks and counters


@dataclass(frozen=True)
class Request:
    """What is to be measured; every field is recorded in the journal."""

    device: Device
    model: str
    profile: plan.Profile
    launches: int
    repetitions: int
    threads: int
    seed: int
    prompt: str | None
    wall_s: float
    with_quality: bool


class Run:
    """One run into one directory."""

    def __init__(
        self, request: Request, directory: Path, sandbox: Sandbox, resolve: Callable[[], Model], progress: Progress,
        engines: dict[str, Engine],
    ):  # fmt: skip
        self._request, self._directory, self._sandbox = request, directory, sandbox
        self._resolve, self._progress = resolve, progress
        device = request.device
        self._device = {"kind": device.kind, "ids": list(device.ids), "name": device.name}
        setting = Setting(
            self._device, device.kind, request.threads, request.wall_s, request.with_quality,
            request.profile.is_measurement,
        )  # fmt: skip
        self._standards = Standards(sandbox, progress, setting, engines)
        self._cpu_features = host.cpu_features_digest()
        self._outcomes: dict[str, str] = {}
        self._journal: journal.Journal | None = None

    def go(self, cells: list[plan.Cell]) -> bool:
        """Measure `cells`; False if the run was interrupted.

        On Ctrl-C or SIGTERM what runs is stopped and the journal is closed with `interrupted`.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._journal = journal.Journal(self._directory)
        self._journal.append("run", **self._describe(cells))
        word = "harness_error"
        try:
            with _terminated_as_interrupt():
                self._measure(cells)
            word = "finished"
        except KeyboardInterrupt:
            word = "interrupted"
            self._progress.say("interrupted: stopping what runs; `--resume` continues from here")
        finally:
            with _uninterrupted():
                self._sandbox.stop()
                for cell in cells:
                    if cell.label not in self._outcomes:
                        self._end_cell(
                            cell, "interrupted" if word == "interrupted" else "harness_error", "the run ended"
                        )
                self._journal.append("end", outcome=word, time=_now())
                self._journal.close()
        return word != "interrupted"

    def _measure(self, cells: list[plan.Cell]) -> None:
        request = self._request
        try:
            model = self._resolve()
        except CellError as error:
            for cell in cells:
                self._end_cell(cell, error.outcome, error.reason)
            return
        weights = Weights.of(model.path)
        facts = {
            "name": model.name, "digest": model.digest, "synthetic": model.synthetic,
            "vocab_size": model.config["vocab_size"], "parameters": weights.parameters,
        }  # fmt: skip
        self._journal.append("model", **facts, manifest=model.manifest, config=model.config)
        jobs = self._jobs(cells, model, facts)
        runnable = [cell for cell in cells if not self._end_if_unsupported(cell, model)]
        prepared = self._prepare(runnable)
        runnable = [cell for cell in runnable if cell.engine.name in prepared]
        artefacts = self._convert(runnable, model, prepared, facts)
        runnable = [cell for cell in runnable if cell.label in artefacts]
        if runnable:
            self._measure_standards(runnable, model, weights, facts, jobs)
        keys, exam_shape = {}, runnable[0].shape if runnable else None
        launching: dict[tuple[str, int], dict] = {}
        for cell in runnable:
            image, (launch_job, workload) = prepared[cell.engine.name], jobs[cell.label]
            for block in range(request.launches):
                examined = block == 0 and cell.shape == exam_shape and not cell.engine.test_only
                mine = launches.with_exam(launch_job, self._standards.exam if examined else None)
                launching[cell.label, block] = mine
                keys[cell.label, block] = launches.key(image.tag, model.digest, artefacts[cell.label], mine, block)
            self._journal.append(
                "cell", label=cell.label, workload=workload, image=image.tag, image_id=image.id, recipe=image.recipe,
                keys=[keys[cell.label, block] for block in range(request.launches)],
            )  # fmt: skip
        self._launch_all(runnable, model, prepared, artefacts, launching, keys)

    def _measure_standards(
        self, cells: list[plan.Cell], model: Model, weights: Weights, facts: dict, jobs: dict
    ) -> None:
        """Limits, calibration and references, before the first launch. The examined shape comes first."""
        shapes = {cell.shape: jobs[cell.label][0]["prompts"] for cell in cells}
        self._standards.measure(self._directory / "standards", model, facts, weights, shapes)
        self._journal.append("standards", **self._standards.described())

    def _jobs(self, cells: list[plan.Cell], model: Model, facts: dict) -> dict[str, tuple[dict, str]]:
        """(job, workload hash) of each cell; cells of one shape share their prompts."""
        request, made, jobs = self._request, {}, {}
        for cell in cells:
            shape = cell.shape
            if shape not in made:
                count = plan.WARMUP["max"] + request.repetitions + launches.PREFIX_PAIRS
                ids = prompts.make(model, count, shape.batch_size, shape.prompt_tokens, request.prompt)
                made[shape] = ids, prompts.workload_hash(model, shape.new_tokens, ids)
            ids, workload = made[shape]
            measuring = launches.job(cell, self._device, facts, ids, request.repetitions, request.threads)
            jobs[cell.label] = launches.with_gates(measuring), workload
        return jobs

    def _end_if_unsupported(self, cell: plan.Cell, model: Model) -> bool:
        lacking = plan.unsupported(cell, self._request.device.kind, model.config)
        if lacking is None:
            return False
        reason = lacking.note or lacking.state
        self._end_cell(cell, "unsupported", f"{reason} ({lacking.link})" if lacking.link else reason)
        return True

    def _prepare(self, cells: list[plan.Cell]) -> dict[str, Any]:
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

    def _convert(self, cells: list[plan.Cell], model: Model, prepared: dict, facts: dict) -> dict[str, Path | None]:
        store = Artefacts(self._sandbox, self._progress, self._cpu_features, self._request.threads)
        artefacts: dict[str, Path | None] = {}
        for cell in cells:
            kind, image = self._request.device.kind, prepared[cell.engine.name]
            try:
                artefacts[cell.label] = store.ensure(cell.engine, kind, cell.variant, model, image, facts)
            except CellError as error:
                self._progress.say(f"{cell.label}: {error.outcome}: {first_line(error.reason)}")
                self._end_cell(cell, error.outcome, error.reason)
        return artefacts

    # -- launches ----------------------------------------------------------------------------------------------------

    def _launch_all(self, cells, model: Model, prepared: dict, artefacts: dict, launching: dict, keys: dict) -> None:
        sequence = plan.order(cells, self._request.launches, self._request.seed)
        done = {
            record["key"]
            for record in journal.read(self._directory)
            if record["kind"] == "launch" and record["outcome"] == "ok"
        }
        took: list[float] = []
        for number, (block, cell) in enumerate(sequence, 1):
            if self._outcomes.get(cell.label) in STOPPING:
                continue
            image, artefact = prepared[cell.engine.name], artefacts[cell.label]
            key = keys[cell.label, block]
            where = f"[{number}/{len(sequence)}] {cell.label} launch {block + 1}/{self._request.launches}"
            if key in done:
                self._progress.say(f"{where}: measured already, kept")
                self._outcomes.setdefault(cell.label, "ok")
                continue
            left = f", about {duration(fmean(took) * (len(sequence) - number + 1))} left" if took else ""
            self._progress.say(f"{where}{left}")
            started = time.monotonic()
            verdict = self._repeated(cell, block, key, model, image, artefact, launching[cell.label, block])
            if verdict.outcome == "ok":
                self._own_benchmark(cell, block, key, model, image, artefact, launching[cell.label, block])
            took.append(time.monotonic() - started)
            if verdict.outcome != "ok" or cell.label not in self._outcomes:
                self._outcomes[cell.label] = verdict.outcome
            if verdict.outcome != "ok":
                self._progress.say(f"  {verdict.outcome}: {first_line(verdict.reason)}")

    def _repeated(self, cell, block: int, key: str, model, image, artefact, launch_job) -> launches.Verdict:
        """One launch, and up to two more where the host was noisy meanwhile; all are kept, the summary takes the last.

        Where the exam ended a launch whose speed was measured, the speed is taken again without the exam.
        """
        tries = 1 + (NOISY_REPEATS if self._request.profile.is_measurement else 0)
        for number in range(1, tries + 1):
            verdict = self._launch(cell, block, key, model, image, artefact, launch_job)
            broke_after = verdict.outcome in STOPPING and verdict.measured and not verdict.gates
            if broke_after and launch_job.get("score"):
                self._progress.say(f"  {verdict.outcome} while its quality was examined: measured again without")
                launch_job = {**launch_job, "score": [], "ask": None}
                verdict = self._launch(cell, block, key, model, image, artefact, launch_job)
            if not verdict.noisy or number == tries:
                return verdict
            self._progress.say(f"  the host was noisy: repeated ({number} of {NOISY_REPEATS})")
        raise AssertionError("unreachable")

    def _launch(self, cell, block: int, key: str, model, image, artefact, launch_job) -> launches.Verdict:
        directory = self._fresh(f"{cell.label}-{block + 1}-{key[:8]}")
        task = Task(
            engine=cell.engine.name, module=f"{cell.engine.folder.name}.bench", job=launch_job, directory=directory,
            out=directory / "out", model=model.path, artefact=artefact, wall_s=self._request.wall_s,
            environment=thread_environment(self._request.threads),
        )  # fmt: skip
        started = _now()
        wall_s = None
        try:
            ended, machine = self._watched(image, task)
            wall_s = ended.wall_s
            context = self._standards.context(cell.shape, artefact, cell.engine.test_only)
            verdict = launches.judge(ended, directory, launch_job, context, machine)
        except CellError as error:
            verdict = launches.Verdict(error.outcome, error.reason, None, {})
        except KeyboardInterrupt:
            stopped = launches.Verdict("interrupted", "stopped by the user", None, {})
            self._record(cell, block, key, directory, started, stopped, None)
            raise
        self._record(cell, block, key, directory, started, verdict, wall_s)
        return verdict

    def _own_benchmark(self, cell, block: int, key: str, model, image, artefact, launch_job) -> None:
        """The benchmark that the engine ships, right after our launch and with the same artefact and threads."""
        own = cell.engine.folder / "own_benchmark.py"
        if not own.is_file() or not self._request.profile.is_measurement or cell.shape.batch_size != 1:
            return
        directory = self._fresh(f"{cell.label}-{block + 1}-{key[:8]}-own")
        task = Task(
            engine=cell.engine.name, module=f"{cell.engine.folder.name}.own_benchmark", job=launch_job,
            directory=directory, out=directory / "out", model=model.path, artefact=artefact,
            wall_s=self._request.wall_s, environment=thread_environment(self._request.threads),
        )  # fmt: skip
        try:
            told = launches.own_benchmark(self._sandbox.run(image, task), directory)
        except CellError as error:
            told = {"decode_tps": None, "prefill_tps": None, "reason": error.reason}
        self._journal.append("own_benchmark", label=cell.label, block=block, key=key, **told)

    def _watched(self, image, task: Task) -> tuple[Ended, dict[str, Any]]:
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

    def _record(self, cell, block, key, directory: Path, started: str, verdict: launches.Verdict, wall_s) -> None:
        with _uninterrupted():
            self._journal.append(
                "launch", label=cell.label, block=block, key=key, outcome=verdict.outcome, reason=verdict.reason,
                gates=verdict.gates, noisy=verdict.noisy, directory=str(directory.relative_to(self._directory)),
                started=started, wall_s=wall_s,
            )  # fmt: skip

    def _fresh(self, name: str) -> Path:
        """A new directory for a launch; an earlier, failed try keeps its own."""
        parent = self._directory / "launches"
        parent.mkdir(exist_ok=True)
        for attempt in range(1, 1000):
            directory = parent / (name if attempt == 1 else f"{name}-try{attempt}")
            with suppress(FileExistsError):
                (directory / "out").mkdir(parents=True)
                return directory
        raise UserError(f"{parent / name} was tried a thousand times")

    def _end_cell(self, cell: plan.Cell, outcome: str, reason: str) -> None:
        """The end of a cell that never came to a launch."""
        self._outcomes[cell.label] = outcome
        self._journal.append("cell_end", label=cell.label, outcome=outcome, reason=reason)

    def _describe(self, cells: list[plan.Cell]) -> dict[str, Any]:
        request = self._request
        return {
            "schema": 1,
            "time": _now(),
            "command": sys.argv[1:],
            "model": request.model,
            "device": {"kind": request.device.kind, "name": request.device.name, "ids": request.device.ids,
                       "key": request.device.key, "detail": request.device.detail},
            "isolation": self._sandbox.isolation,
            "profile": request.profile.name,
            "is_measurement": request.profile.is_measurement,
            "launches": request.launches,
            "repetitions": request.repetitions,
            "threads": request.threads,
            "with_quality": request.with_quality,
            "seed": request.seed,
            "hostname": platform.node(),
            "host": host.facts(),
            "cells": [
                {
                    "label": cell.label, "engine": cell.engine.name, "title": cell.engine.title,
                    "declared_version": cell.engine.version, "variant": cell.variant.name,
                    "precision": cell.variant.precision, "scheme": cell.variant.scheme,
                    "settings": cell.variant.settings, **asdict(cell.shape), **self._caveat(cell),
                }
                for cell in cells
            ],
        }  # fmt: skip

    def _caveat(self, cell: plan.Cell) -> dict[str, Any]:
        kind = self._request.device.kind
        support, entry = cell.engine.support(cell.variant, kind), cell.engine.devices.get(kind)
        return {
            "caveat": support.note if support.state == "caveat" else None,
            "link": support.link,
            "verified": entry.verified if entry else True,
        }


def new_seed() -> int:
    """A seed for the order of launches, to be recorded."""
    return random.SystemRandom().randrange(2**31)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@contextmanager
def _terminated_as_interrupt():
    """SIGTERM ends a run as Ctrl-C does: what runs is stopped, the journal is closed."""

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _uninterrupted():
    """A second Ctrl-C must not tear a journal line or leave a container behind."""
    before = [(each, signal.signal(each, signal.SIG_IGN)) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)


def device_lock(device: Device, directory: Path):
    """Hold one lock per physical device; raises BlockingIOError naming the holder when another run has it."""
    import fcntl  # noqa: PLC0415 - POSIX only, as is everything that runs a launch

    directory.mkdir(parents=True, exist_ok=True)
    held = []
    for key in device.lock_keys:
        file = (directory / f"{key}.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            for each in held:
                each.close()
            raise BlockingIOError(f"{device.name} is in use by another run: {holder}") from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": _now()}))
        file.flush()
        held.append(file)
    return held
