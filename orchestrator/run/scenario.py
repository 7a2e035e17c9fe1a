"""The parts that differ by kind of measurement. Pipeline, schedule and journal are the same for all.

Generating tokens is the only kind so far. Another (serving, training) is another class that implements `Scenario`, with
its own jobs, baselines and gates; see docs/inside/architecture.md, "A second scenario".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from common.contract import Job
from orchestrator.judge.verdict import Verdict, judge_launch
from orchestrator.plan import profiles, prompts
from orchestrator.plan.cells import Shape
from orchestrator.plan.run_plan import Plan
from orchestrator.run.baselines import BaselineMeasurement, Baselines, Images, Prompts, helpers
from orchestrator.run.cell_states import Converted, Launch
from orchestrator.run.job import PREFIX_PAIRS, make_job, with_exam, with_gates
from orchestrator.run.references import Helper
from orchestrator.run.run_record import Run
from orchestrator.sandbox.task import Ended


class Scenario(Protocol):
    """The parts of a run that depend on what is measured, in the order in which the pipeline uses them."""

    @property
    def module(self) -> str:
        """The module of an engine's folder that one launch runs."""

    def helpers(self, run: Run) -> list[Helper]:
        """The engines whose images are needed in addition to the contenders'."""

    def measure_baselines(self, run: Run, cells: Sequence[Converted], images: Images) -> Baselines:
        """What launches of `cells` are judged against, measured before the first of them."""

    def jobs(self, run: Run, state: Converted, baselines: Baselines) -> tuple[str, list[Job]]:
        """The workload's hash, by which rows may share a table, and the job of each block's launch."""

    def judge(
        self, launch: Launch, ended: Ended, directory: Path, machine: dict[str, Any], baselines: Baselines
    ) -> Verdict:
        """The verdict on a launch from the files in its `directory`; `machine` is the monitor's record."""

    def lighter(self, job: Job) -> Job | None:
        """The job without what follows the measurement, for a second try if that failed; None if nothing follows."""

    def own_benchmark(self, launch: Launch) -> str | None:
        """The module of the engine's folder that runs the engine's own benchmark; None without one."""


@dataclass(frozen=True)
class Generation:
    """Tokens generated in a library's own loop, one batch at a time. `prompts` replace those of the request."""

    prompts: Mapping[Shape, Prompts] = field(default_factory=dict)
    module: str = "bench"

    def helpers(self, run: Run) -> list[Helper]:
        return helpers(run)

    def measure_baselines(self, run: Run, cells: Sequence[Converted], images: Images) -> Baselines:
        shapes = dict.fromkeys(state.cell.shape for state in cells)
        with_limits = any(not state.cell.engine.test_only for state in cells)
        workloads = {shape: self._prompts(run.plan, shape) for shape in shapes}
        return BaselineMeasurement(run, images).measure(workloads, with_limits)

    def jobs(self, run: Run, state: Converted, baselines: Baselines) -> tuple[str, list[Job]]:
        """Only the first launch of a cell takes the exam, and only for the first shape."""
        cell, request, subject = state.cell, run.plan.request, run.plan.subject
        ids = baselines.workloads[cell.shape]
        workload = prompts.workload_hash(subject.model, cell.shape.new_tokens, ids)
        plain = make_job(cell, run.bench.device_facts, subject.facts, ids, request.repetitions, request.threads)
        job = with_gates(plain)
        is_examined = cell.shape == baselines.examined and not cell.engine.test_only
        first = with_exam(job, baselines.exam if is_examined else None)
        return workload, [first, *[job] * (request.launches - 1)]

    def judge(
        self, launch: Launch, ended: Ended, directory: Path, machine: dict[str, Any], baselines: Baselines
    ) -> Verdict:
        return judge_launch(ended, directory, launch.job, baselines.yardstick(launch.ready), machine)

    def lighter(self, job: Job) -> Job | None:
        return replace(job, score=[], ask=None) if job.score else None

    def own_benchmark(self, launch: Launch) -> str | None:
        is_shipped = (launch.cell.engine.folder / "own_benchmark.py").is_file()
        return "own_benchmark" if is_shipped and launch.cell.shape.batch_size == 1 else None

    def _prompts(self, plan: Plan, shape: Shape) -> Prompts:
        """Token ids [iterations][batch][length] for the longest warm-up, all repetitions, and the prefix pairs."""
        if shape in self.prompts:
            return self.prompts[shape]
        request = plan.request
        count = profiles.WARMUP.max + request.repetitions + PREFIX_PAIRS
        return prompts.make(plan.subject.model, count, shape.batch_size, shape.prompt_tokens, request.prompt)


GENERATION = Generation()
