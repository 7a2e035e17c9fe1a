"""The phases of a run, in their order; a cell that ends in one drops out with its word, and the others go on."""

import errno
import hashlib
import json
from dataclasses import dataclass, field
from itertools import groupby

import pytest

from bench_dummy.bench import Dummy
from common.limits import bandwidth
from orchestrator.base.errors import CellError
from orchestrator.machine import host
from orchestrator.models import manifest
from orchestrator.plan.cells import Shape
from orchestrator.plan.engine import Support
from orchestrator.plan.run_plan import Plan
from orchestrator.run import launcher, pipeline
from orchestrator.run.scenario import Generation
from orchestrator.sandbox.task import Ended
from tests.support import in_process_runs
from tests.support.checkpoints import checkpoint, model
from tests.support.contenders import engine, variant
from tests.support.in_process_sandbox import InProcess
from tests.support.results_directory import probe
from tests.support.terminal_output import progress

PHASES = ["build", "packages", "convert", "calibrate", "limits", "reference", "launch", "judge"]
ENDS = {  # a contender for each phase that may end it: its word, and what its reason holds
    "unlucky": ("unsupported", "no kernels for it"),
    "gone": ("fetch_failed", "the hub does not answer"),
    "unbuilt": ("build_failed", "no compiler"),
    "unconverted": ("convert_failed", "an odd tensor"),
    "crash": ("load_failed", "RuntimeError: no such kernel"),
    "liar": ("invalid_output", "gate agreement: at step 0 of prompt 0"),
}


class Crash(Dummy):
    def load(self, job):
        raise RuntimeError("no such kernel")


class Liar(Dummy):
    def _next(self, total):
        return (17 * total + 3) % self.vocabulary


class Recorder(InProcess):
    """A sandbox that writes down which phase asks it for what. `interrupt` is raised in the phase of its name."""

    def __init__(self):
        super().__init__({"dummy": Dummy, "converted": Dummy, "crash": Crash, "liar": Liar})
        self.phases = []
        self.interrupt = ("none", KeyboardInterrupt())

    def note(self, phase, name):
        self.phases.append((phase, name))
        if phase == self.interrupt[0]:
            raise self.interrupt[1]

    def prepare(self, made, kind):
        self.note("build", made.name)
        if made.name == "unbuilt":
            raise CellError("build_failed", "no compiler")
        return super().prepare(made, kind)

    def run(self, prepared, task):
        self.note(phase_of(task), task.engine)
        if not task.module.endswith(".convert"):
            return super().run(prepared, task)
        if task.engine == "unconverted":
            raise CellError("convert_failed", "an odd tensor")
        (task.out / "artefact").mkdir()
        (task.out / "artefact" / "weights").write_text("w")
        manifest.write(task.out / "artefact", {"weights": hashlib.sha256(b"w").hexdigest()})
        (task.directory / "reproduce.sh").write_text("again\n")
        return Ended(0, None, False, False, 1.0)


def phase_of(task):
    if getattr(task.job, "settings", None) == {"first_ms": 1, "step_ms": 1}:
        return "calibrate"
    if getattr(task.job, "score_generated", 0):
        return "reference"
    return {"packages": "packages", "convert": "convert", "limits": "limits"}.get(task.module.split(".")[-1], "launch")


@dataclass(frozen=True)
class Recorded(Generation):
    """Generation that says when it judges."""

    recorder: Recorder = field(default_factory=Recorder)

    def judge(self, launch, *rest):
        self.recorder.note("judge", launch.cell.engine.name)
        return super().judge(launch, *rest)


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch):
    monkeypatch.setattr("orchestrator.judge.gates.prefix.cold_prefix", lambda samples: "pass")
    monkeypatch.setattr("orchestrator.run.baselines.calibration", lambda true, measured: "pass")
    monkeypatch.setattr(bandwidth, "probe", lambda *_: probe())
    monkeypatch.setattr(launcher, "IDLE_S", 0)
    monkeypatch.setattr(host, "facts", dict)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def plan(tmp_path):
    """One contender for each phase that may end it, and two that go all the way."""
    delays = variant("delays", settings={"first_ms": 1, "step_ms": 1}, default=False)
    engines = [
        engine("unlucky", [variant(devices={"cpu": Support("unsupported", "no kernels for it")})]),
        engine("gone", [variant(ready=("gguf-q4_0",))]),
        engine("dummy", [variant(), delays], reference=True, calibrates="delays"),
        engine("unbuilt"),
        engine("unconverted", [variant(artefact="x")]),
        engine("converted", [variant(artefact="x")]),
        engine("crash"),
        engine("liar"),
    ]
    path = checkpoint(tmp_path / "model", {"vocab_size": 128}, tokenizer=True)
    ready_made = {"gguf-q4_0": CellError("fetch_failed", "the hub does not answer")}
    return in_process_runs.plan(model(path), engines, [Shape(1, 8, 6)], ready_made)


@pytest.fixture
def measure(plan, recorder, workspace, tmp_path):
    """Measure a plan (by default `plan`); whether it ran to its end, and the journal's records."""

    def measured(planned=plan):
        engines = [cell.engine for cell in planned.cells]
        bench = in_process_runs.workbench(workspace, recorder, engines, progress()[0])
        finished = pipeline.measure(planned, tmp_path / "results", bench, Recorded(recorder=recorder))
        lines = (tmp_path / "results" / "journal.jsonl").read_text().splitlines()
        return finished, [json.loads(line) for line in lines]

    return measured


def asked_in(recorder, phase):
    return sorted(name for each, name in recorder.phases if each == phase)


def words(records):
    """The last word of each contender."""
    ends = [record for record in records if record["kind"] in ("launch", "cell_end")]
    return {record["label"].split("-")[0]: (record["outcome"], record["reason"]) for record in ends}


def test_phases_come_in_order_and_none_begins_before_the_one_before_it_has_ended(measure, recorder):
    assert measure()[0]
    phases = [phase for phase, _ in groupby(phase for phase, _ in recorder.phases)]
    assert phases == [*PHASES[:-2], *["launch", "judge"] * 4]


def test_a_cell_drops_out_with_its_word_where_it_fails_and_the_others_go_on(measure, recorder):
    _, records = measure()
    left = words(records)
    assert left.pop("dummy")[0] == left.pop("converted")[0] == "ok"
    assert left.keys() == ENDS.keys()
    for name, (outcome, reason) in ENDS.items():
        assert left[name][0] == outcome
        assert reason in left[name][1]
    started = ["converted", "crash", "dummy", "liar"]
    assert asked_in(recorder, "build") == sorted([*started, "unbuilt", "unconverted"])
    assert asked_in(recorder, "packages") == sorted([*started, "unconverted"])
    assert asked_in(recorder, "convert") == ["converted", "unconverted"]
    assert asked_in(recorder, "launch") == asked_in(recorder, "judge") == started


def test_the_journal_is_written_in_the_order_of_the_phases(measure):
    _, records = measure()
    kinds = [(kind, len(list(group))) for kind, group in groupby(record["kind"] for record in records)]
    middle = [("cell_end", 4), ("standards", 1), ("cell", 4), ("launch", 4)]
    assert kinds == [("run", 1), ("model", 1), *middle, ("end", 1)]
    ended = [record["label"].split("-")[0] for record in records if record["kind"] == "cell_end"]
    assert ended == ["unlucky", "gone", "unbuilt", "unconverted"]


def test_a_model_that_the_hub_does_not_give_ends_every_cell_before_the_first_phase(measure, plan, recorder):
    refused = CellError("fetch_failed", "the hub does not answer")
    finished, records = measure(Plan(plan.request, plan.cells, refused))
    assert finished and recorder.phases == []
    assert [record["kind"] for record in records] == ["run", *["cell_end"] * len(plan.cells), "end"]
    assert set(words(records).values()) == {("fetch_failed", "the hub does not answer")}


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_is_interrupted_leaves_a_word_for_every_cell(measure, plan, recorder, phase):
    recorder.interrupt = (phase, KeyboardInterrupt())
    finished, records = measure()
    assert not finished
    assert (records[-1]["kind"], records[-1]["outcome"]) == ("end", "interrupted")
    left = words(records)
    assert left.keys() == {cell.engine.name for cell in plan.cells}
    assert left["dummy"] == ("interrupted", "the run ended")
    assert left["unlucky"][0] == "unsupported"  # it had its word already


def test_a_full_disk_ends_the_run_and_not_the_command(measure, plan, recorder):
    recorder.interrupt = ("limits", OSError(errno.ENOSPC, "No space left on device"))
    finished, records = measure()
    assert finished
    assert records[-1]["outcome"] == "disk_full"
    assert words(records)["dummy"] == ("disk_full", "the run ended")
    assert words(records)["unbuilt"][0] == "build_failed"
