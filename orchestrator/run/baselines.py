"""What a run's launches are held against: the device's limits, the suite's own delays, the float32 reference."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from common.contract import NO_WARMUP, DeviceFacts, Job, LimitsJob, ModelFacts
from orchestrator.base.errors import CellError
from orchestrator.base.escape import first_line
from orchestrator.base.paths import CACHE
from orchestrator.base.progress import Progress
from orchestrator.base.reading import Unreadable, parse, read_text
from orchestrator.judge.analysis import Yardstick
from orchestrator.judge.gates.delays import calibration
from orchestrator.judge.launch_files import BadSamples, read_samples
from orchestrator.judge.reference import Reference
from orchestrator.machine.detect import Device
from orchestrator.machine.measured_limits import limits_of
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.model import Model
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine
from orchestrator.plan.exam import Exam, make_exam
from orchestrator.run import references
from orchestrator.run.job import make_job
from orchestrator.run.references import References
from orchestrator.sandbox.task import Sandbox, Task, thread_environment

TRIES = 3  # of the calibration: a neighbour's burst must not cost a run
CALIBRATION_STEPS, CALIBRATION_REPEATS = 33, 3
WALL_S = 600


@dataclass(frozen=True)
class Setting:
    """The parts of a request that standards are measured with."""

    device: DeviceFacts
    kind: str
    threads: int
    wall_s: float
    with_quality: bool
    is_measurement: bool


class Baselines:
    """One per run. Nothing here can end a run: what cannot be measured is `not checked`, with the reason."""

    def __init__(self, sandbox: Sandbox, progress: Progress, setting: Setting, engines: dict[str, Engine]):
        self._sandbox, self._progress, self._setting, self._engines = sandbox, progress, setting, engines
        self.prepared: dict[str, Any] = {}  # images by engine name, or the CellError of one that could not be built
        self._references: dict[Shape, Reference | str] = {}
        self._first: Shape | None = None
        self._weights: ParameterCounts | None = None
        self._config: dict[str, Any] = {}
        self._no_reference = "no reference: switched off with --no-quality"
        self.calibration = "not checked: no engine of known delays runs on this device"
        self.limits: dict[str, Any] | None = None
        self.exam: Exam | None = None

    def engines(self) -> list[tuple[Engine, str]]:
        """Those that the standards need, whether they are contenders or not, and the device kind of their images."""
        refer = references.engine_for(self._engines, self._setting.kind) if self._setting.with_quality else None
        delays = self._find_calibrating()
        needed = [(refer[0], self._setting.kind)] if refer else []
        return [*needed, (delays[0], delays[2])] if delays else needed

    def measure(
        self, directory: Path, model: Model, facts: ModelFacts, weights: ParameterCounts,
        prompts: dict[Shape, list[list[list[int]]]], with_limits: bool = True,
    ) -> None:  # fmt: skip
        """Measure limits and calibration in `directory`, and find or compute a reference per shape.

        A run of nothing but test contenders, which compute no model, needs no `with_limits`.
        """
        self._weights, self._config = weights, model.config
        directory.mkdir(parents=True, exist_ok=True)
        judge = self._attempt("reference", self.reference_engine, None) if self._setting.with_quality else None
        dummy = self._attempt("calibration", self._calibrating_engine, None)
        if dummy:
            self.calibration = self._attempt("calibration", lambda: self._calibrate(directory, facts, *dummy))
        # The reference's image has the better library for products; but importing it takes longer than all the rest.
        image = judge if judge and (self._setting.is_measurement or not dummy) else dummy
        if image and with_limits:
            measure = lambda: self.measure_limits(directory, image[0], image[2])  # noqa: E731
            self.limits = self._attempt("limits", measure, None)
        self._refer(model, facts, prompts, judge)

    def context(self, shape: Shape, artefact: Path | None, test_only: bool) -> Yardstick:
        """What launches of one cell are judged with."""
        refer: Any = self._references.get(shape, "no reference was asked for")
        if test_only:
            refer = "a test contender computes no model"
        return Yardstick(self._weights, self._config, artefact, refer, self.calibration)

    def described(self) -> dict[str, Any]:
        """For the journal: what the launches were held against."""
        refer = self._references.get(self._first) if self._first else None
        known = None
        if isinstance(refer, Reference):
            known = {
                "engine": refer.engine, "version": refer.version, "questions": refer.exam.question_texts,
                "answers": refer.exam.texts(refer.answers), "directory": str(refer.directory),
            }  # fmt: skip
        return {"limits": self.limits, "calibration": self.calibration, "reference": known,
                "no_reference": refer if isinstance(refer, str) else None}  # fmt: skip

    # -- the three ----------------------------------------------------------------------------------------------------

    def reference_engine(self) -> tuple[Engine, Any, Any] | None:
        found = references.engine_for(self._engines, self._setting.kind)
        if found is None:
            raise CellError("unsupported", f"no engine gives a float32 reference on {self._setting.kind}")
        return *found, self._ready(found[0], self._setting.kind)

    def _find_calibrating(self) -> tuple[Engine, Any, str] | None:
        """The engine of known delays, its variant, and the device kind to build it for: delays need no GPU."""
        for engine in self._engines.values():
            variant = engine.variants.get(engine.calibrates or "")
            for kind in (self._setting.kind, "cpu"):
                if variant and engine.support(variant, kind).runs:
                    return engine, variant, kind
        return None

    def _calibrating_engine(self) -> tuple[Engine, Any, Any] | None:
        found = self._find_calibrating()
        return (found[0], found[1], self._ready(found[0], found[2])) if found else None

    def _ready(self, engine: Engine, kind: str) -> Any:
        """The engine's image. Raises the CellError of one that failed: a second try would take as long."""
        if engine.name not in self.prepared:
            self.prepared[engine.name] = self._sandbox.prepare(engine, kind)
        if isinstance(self.prepared[engine.name], CellError):
            raise self.prepared[engine.name]
        return self.prepared[engine.name]

    def _calibrate(self, directory: Path, facts: ModelFacts, engine: Engine, variant: Any, prepared: Any) -> str:
        """Known delays, read back through the whole way of a launch."""
        shape = Shape(1, 4, CALIBRATION_STEPS)
        known = {"first token": variant.settings["first_ms"] / 1000, "step": variant.settings["step_ms"] / 1000}
        prompts = [[[3, 4, 5, 6 + number]] for number in range(CALIBRATION_REPEATS)]
        job = make_job(
            Cell(engine, variant, shape), self._setting.device, facts, prompts, CALIBRATION_REPEATS,
            self._setting.threads, NO_WARMUP,
        )  # fmt: skip
        verdict = "not checked"
        for _ in range(TRIES):
            place = self._run(directory, "calibration", f"{engine.folder.name}.bench", engine, prepared, job)
            try:
                samples = read_samples(place)
            except (BadSamples, OSError) as error:
                raise CellError("invalid_output", str(error)) from error
            steps = [b - a for s in samples for a, b in itertools.pairwise(s.steps_ns)]
            measured = {
                "first token": median(sample.steps_ns[0] for sample in samples) / 1e9, "step": median(steps) / 1e9
            }  # fmt: skip
            verdict = calibration(known, measured)
            if verdict == "pass":
                self._progress.say(
                    f"self-calibration: steps of {1000 * known['step']:g} ms read back as "
                    f"{1000 * measured['step']:.3f} ms, a first token of {1000 * known['first token']:g} ms as "
                    f"{1000 * measured['first token']:.2f} ms"
                )
                break
        return verdict

    def measure_limits(self, directory: Path, engine: Engine, prepared: Any) -> dict[str, Any]:
        job = LimitsJob(self._setting.device, self._setting.threads)
        place = self._run(directory, "limits", "common.limits", engine, prepared, job)
        try:
            told = parse(read_text(place / "out" / "limits.json", 1 << 20))
            found = limits_of(told)
        except (Unreadable, OSError, ValueError, KeyError, TypeError) as error:
            raise CellError("invalid_output", f"limits.json is not valid: {error}") from error
        bandwidth = found["bandwidth_gbs"]
        if bandwidth:
            peaks = ", ".join(f"{name} {peak['gflops']:.0f}" for name, peak in found["matmul"].items())
            self._progress.say(
                f"limits: memory {bandwidth['best']:.1f} GB/s (three times, spread {100 * bandwidth['spread']:.0f} %); "
                f"products in GFLOP/s: {peaks or 'none measured'}"
            )
        return found

    def _refer(self, model: Model, facts: ModelFacts, prompts: dict[Shape, list], judge: tuple | None) -> None:
        if judge is None:
            self._references = dict.fromkeys(prompts, self._no_reference)
            return
        engine, variant, prepared = judge
        maker = References(
            self._sandbox, self._progress, engine, variant, prepared, self._setting.device, self._setting.threads,
            self._setting.wall_s,
        )  # fmt: skip
        smallest = min(prompts, key=lambda shape: (shape.prompt_tokens + shape.new_tokens))
        self.exam = make_exam(model, smallest.prompt_tokens, smallest.new_tokens)
        nothing = Exam([], [], [], 0, self.exam.is_text)
        self._first = next(iter(prompts))
        for number, (shape, ids) in enumerate(prompts.items()):
            exam = self.exam if number == 0 else nothing
            self._references[shape] = self._attempt(
                "reference", lambda shape=shape, ids=ids, exam=exam: maker.of(model, facts, shape, ids, exam)
            )

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _run(
        self, directory: Path, name: str, module: str, engine: Engine, prepared: Any, job: Job | LimitsJob
    ) -> Path:
        """Run one module on `job` in a folder of its own below `directory`. Raises CellError."""
        number = next(n for n in itertools.count(1) if not (directory / f"{name}-{n}").exists())
        place = directory / f"{name}-{number}"
        (place / "out").mkdir(parents=True)
        task = Task(
            engine=engine.name, module=module, job=job, directory=place, out=place / "out", model=directory,
            artefact=None, wall_s=WALL_S, environment=thread_environment(self._setting.threads),
        )  # fmt: skip
        ended = self._sandbox.run(prepared, task)
        if ended.exit_code != 0:
            raise CellError("harness_error", f"{name} ended with exit code {ended.exit_code}; see {place}/stderr.log")
        return place

    def _attempt(self, what: str, action: Callable[[], Any], *otherwise: Any) -> Any:
        """`action()`, or the reason why not (or `otherwise`), said once."""
        try:
            return action()
        except CellError as error:
            reason = f"{error.outcome}: {first_line(error.reason)}"
            self._progress.say(f"{what}: {reason}")
            if what == "reference":
                self._no_reference = f"no reference: {reason}"
                return otherwise[0] if otherwise else self._no_reference
            return otherwise[0] if otherwise else f"not checked: {reason}"


def limits_alone(
    sandbox: Sandbox, progress: Progress, device: Device, threads: int, engines: dict[str, Engine]
) -> dict[str, Any]:
    """The limits of a device outside of a run. Raises CellError where they cannot be measured."""
    described = DeviceFacts(device.kind, list(device.ids), device.name)
    standards = Baselines(sandbox, progress, Setting(described, device.kind, threads, WALL_S, True, True), engines)
    engine, _, prepared = standards.reference_engine()
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        return standards.measure_limits(Path(folder), engine, prepared)
