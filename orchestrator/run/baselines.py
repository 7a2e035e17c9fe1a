"""What a run's launches are judged against: the device's limits, the suite's own delays, the float32 reference."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from common.contract import NO_WARMUP, Job, LimitsJob
from orchestrator.base.errors import CellError
from orchestrator.base.escape import first_line
from orchestrator.base.reading import Unreadable, parse, read_text
from orchestrator.judge.analysis import Yardstick
from orchestrator.judge.gates.delays import calibration
from orchestrator.judge.launch_files import BadSamples, read_samples
from orchestrator.judge.reference import Reference
from orchestrator.machine.measured_limits import limits_of
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import Engine
from orchestrator.plan.exam import Exam, make_exam
from orchestrator.plan.run_plan import Subject
from orchestrator.run.cell_states import Converted
from orchestrator.run.job import make_job
from orchestrator.run.references import Helper, ReferenceMaker, reference_engine
from orchestrator.run.run_record import Run
from orchestrator.run.session import Workbench
from orchestrator.sandbox.task import Prepared

TRIES = 3  # of the calibration: one burst of load from a neighbour must not spoil a run
CALIBRATION_STEPS, CALIBRATION_REPEATS = 33, 3
WALL_S = 600
FOLDER = "standards"  # of a results directory
SWITCHED_OFF = "no reference: switched off with --no-quality"
Prompts = list[list[list[int]]]  # token ids [iterations][batch][length]
Images = Mapping[str, Prepared | CellError]  # by engine name; a CellError if the build failed
T = TypeVar("T")


@dataclass(frozen=True)
class Baselines:
    """What was measured before the first launch. Whatever failed is `not checked`, with the reason."""

    subject: Subject
    workloads: Mapping[Shape, Prompts]  # the prompts of every launch of a shape
    limits: dict[str, Any] | None
    calibration: str
    references: Mapping[Shape, Reference | str]  # or the reason why there is none
    exam: Exam | None = None
    examined: Shape | None = None  # the shape whose reference answered the exam's questions

    def yardstick(self, state: Converted) -> Yardstick:
        """What the launches of one cell are judged against."""
        weights, config = self.subject.weights, self.subject.model.config
        reference: Reference | str = self.references.get(state.cell.shape, "no reference was asked for")
        if state.cell.engine.test_only:
            reference = "a test contender computes no model"
        return Yardstick(weights, config, state.artefact, reference, self.calibration)

    def described(self) -> dict[str, Any]:
        """The journal's record of the baselines."""
        reference = self.references.get(self.examined) if self.examined else None
        facts = None
        if isinstance(reference, Reference):
            facts = {
                "engine": reference.engine,
                "version": reference.version,
                "questions": reference.exam.question_texts,
                "answers": reference.exam.texts(reference.answers),
                "directory": str(reference.directory),
            }
        reason = reference if isinstance(reference, str) else None
        return {"limits": self.limits, "calibration": self.calibration, "reference": facts, "no_reference": reason}


def calibration_engine(engines: Mapping[str, Engine], kind: str) -> Helper | None:
    """The engine of known delays, built for `kind` or else for the CPU, since delays need no GPU. None without one."""
    for engine in engines.values():
        variant = engine.variants.get(engine.calibrates or "")
        for device_kind in (kind, "cpu"):
            if variant and engine.support(variant, device_kind).runs:
                return Helper(engine, variant, device_kind)
    return None


def helpers(run: Run) -> list[Helper]:
    """The engines that baselines are measured with."""
    engines, kind = run.bench.engines, run.bench.device.kind
    reference = reference_engine(engines, kind) if run.plan.request.with_quality else None
    return [helper for helper in (reference, calibration_engine(engines, kind)) if helper]


class BaselineMeasurement:
    """Measures the baselines of a run, once. A CellError here never ends the run."""

    def __init__(self, run: Run, images: Images):
        self._request, self._subject, self._bench = run.plan.request, run.plan.subject, run.bench
        self._images, self._directory = images, run.journal.directory / FOLDER
        self._no_reference = SWITCHED_OFF

    def measure(self, prompts: Mapping[Shape, Prompts], with_limits: bool) -> Baselines:
        """Measure limits, calibration and a reference for each shape's `prompts`; only the first shape has an exam.

        `with_limits` is not needed if all contenders are test engines, which compute no model.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        reference = self._attempt("reference", self._reference_image) if self._request.with_quality else None
        dummy = self._attempt("calibration", self._calibration_image)
        verdict = "not checked: no engine of known delays runs on this device"
        if dummy:
            helper, image = dummy
            try:
                verdict = calibrate(self._bench, helper, image, self._subject, self._directory)
            except CellError as error:
                verdict = f"not checked: {self._reason('calibration', error)}"
        # The reference image has the faster matrix library, but importing it takes longer than everything else here:
        # a run that is no measurement prefers the dummy.
        prober = reference if reference and (self._request.profile.is_measurement or not dummy) else dummy
        limits = None
        if prober and with_limits:
            limits = self._attempt("limits", lambda: measure_limits(self._bench, *prober, self._directory))
        baselines = Baselines(self._subject, prompts, limits, verdict, dict.fromkeys(prompts, self._no_reference))
        return self._with_references(baselines, *reference) if reference else baselines

    def _with_references(self, baselines: Baselines, helper: Helper, image: Prepared) -> Baselines:
        maker, prompts = ReferenceMaker(self._bench, helper, image, self._request.wall_s), baselines.workloads
        smallest = min(prompts, key=lambda shape: shape.prompt_tokens + shape.new_tokens)
        exam = make_exam(self._subject.model, smallest.prompt_tokens, smallest.new_tokens)
        empty = Exam([], [], [], 0, exam.is_text)
        examined = next(iter(prompts))
        references: dict[Shape, Reference | str] = {}
        for shape, ids in prompts.items():
            try:
                shape_exam = exam if shape == examined else empty
                references[shape] = maker.reference(self._subject, ids, shape.new_tokens, shape_exam)
            except CellError as error:
                references[shape] = f"no reference: {self._reason('reference', error)}"
        return replace(baselines, references=references, exam=exam, examined=examined)

    def _reference_image(self) -> tuple[Helper, Prepared]:
        helper = needed_reference(self._bench)
        return helper, self._image(helper)

    def _calibration_image(self) -> tuple[Helper, Prepared] | None:
        helper = calibration_engine(self._bench.engines, self._bench.device.kind)
        return (helper, self._image(helper)) if helper else None

    def _image(self, helper: Helper) -> Prepared:
        """Raises the CellError of a failed build, which is not repeated."""
        image = self._images[helper.engine.name]
        if isinstance(image, CellError):
            raise image
        return image

    def _attempt(self, what: str, action: Callable[[], T]) -> T | None:
        """The result of `action`; None if it raised a CellError, which is reported."""
        try:
            return action()
        except CellError as error:
            reason = self._reason(what, error)
            if what == "reference":
                self._no_reference = f"no reference: {reason}"
            return None

    def _reason(self, what: str, error: CellError) -> str:
        reason = f"{error.outcome}: {first_line(error.reason)}"
        self._bench.progress.say(f"{what}: {reason}")
        return reason


def needed_reference(bench: Workbench) -> Helper:
    """The reference engine. Raises CellError if none runs on this device."""
    helper = reference_engine(bench.engines, bench.device.kind)
    if helper is None:
        raise CellError("unsupported", f"no engine gives a float32 reference on {bench.device.kind}")
    return helper


def calibrate(bench: Workbench, helper: Helper, image: Prepared, subject: Subject, directory: Path) -> str:
    """The gate's verdict on known delays, measured through a complete launch. Raises CellError."""
    settings = helper.variant.settings
    true = {"first token": settings["first_ms"] / 1000, "step": settings["step_ms"] / 1000}  # seconds
    prompts = [[[3, 4, 5, 6 + number]] for number in range(CALIBRATION_REPEATS)]
    cell = Cell(helper.engine, helper.variant, Shape(1, 4, CALIBRATION_STEPS))
    job = make_job(cell, bench.device_facts, subject.facts, prompts, CALIBRATION_REPEATS, bench.threads, NO_WARMUP)
    verdict = "not checked"
    for _ in range(TRIES):
        folder = _run(bench, directory, "calibration", "bench", helper, image, job)
        try:
            samples = read_samples(folder)
        except (BadSamples, OSError) as error:
            raise CellError("invalid_output", str(error)) from error
        steps = [end - start for sample in samples for start, end in itertools.pairwise(sample.steps_ns)]
        measured = {
            "first token": median(sample.steps_ns[0] for sample in samples) / 1e9,
            "step": median(steps) / 1e9,
        }
        verdict = calibration(true, measured)
        if verdict == "pass":
            bench.progress.say(
                f"self-calibration: steps of {1000 * true['step']:g} ms read back as "
                f"{1000 * measured['step']:.3f} ms, a first token of {1000 * true['first token']:g} ms as "
                f"{1000 * measured['first token']:.2f} ms"
            )
            break
    return verdict


def measure_limits(bench: Workbench, helper: Helper, image: Prepared, directory: Path) -> dict[str, Any]:
    """The device's memory bandwidth and matrix product peaks. Raises CellError."""
    job = LimitsJob(bench.device_facts, bench.threads)
    folder = _run(bench, directory, "limits", "common.limits", helper, image, job)
    try:
        limits = limits_of(parse(read_text(folder / "out" / "limits.json", 1 << 20)))
    except (Unreadable, OSError, ValueError, KeyError, TypeError) as error:
        raise CellError("invalid_output", f"limits.json is not valid: {error}") from error
    bandwidth = limits["bandwidth_gbs"]
    if bandwidth:
        peaks = ", ".join(f"{name} {peak['gflops']:.0f}" for name, peak in limits["matmul"].items())
        bench.progress.say(
            f"limits: memory {bandwidth['best']:.1f} GB/s (three times, spread {100 * bandwidth['spread']:.0f} %); "
            f"products in GFLOP/s: {peaks or 'none measured'}"
        )
    return limits


def limits_alone(bench: Workbench) -> dict[str, Any]:
    """The limits of a device, outside a run. Raises CellError if they cannot be measured."""
    helper = needed_reference(bench)
    image = bench.sandbox.prepare(helper.engine, helper.kind)
    bench.workspace.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bench.workspace.cache) as folder:
        return measure_limits(bench, helper, image, Path(folder))


def _run(
    bench: Workbench, directory: Path, name: str, module: str, helper: Helper, image: Prepared, job: Job | LimitsJob
) -> Path:
    """Run one module on `job` in a new directory below `directory`, and return that. Raises CellError."""
    number = next(n for n in itertools.count(1) if not (directory / f"{name}-{n}").exists())
    folder = directory / f"{name}-{number}"
    (folder / "out").mkdir(parents=True)
    task = bench.task(helper.engine, module, job, folder, model=directory, wall_s=WALL_S)
    ended = bench.sandbox.run(image, task)
    if ended.exit_code != 0:
        raise CellError("harness_error", f"{name} ended with exit code {ended.exit_code}; see {folder}/stderr.log")
    return folder
