"""A whole run, in this process: the dummy as reference and as contenders that are right, wrong, noisy or break down."""

import json
import random
import time

import pytest

from bench_dummy.bench import Dummy
from common.limits import bandwidth
from orchestrator.base.errors import CellError
from orchestrator.judge.gates.prefix import cold_prefix
from orchestrator.judge.verdict import Verdict
from orchestrator.machine import host
from orchestrator.machine.monitor.sampling import Monitor
from orchestrator.models.ready.find import ReadyMade
from orchestrator.plan.cells import Shape
from orchestrator.results.summary import summarise
from orchestrator.run import launcher, pipeline, scenario, schedule
from tests.support import in_process_runs
from tests.support.checkpoints import checkpoint, model
from tests.support.contenders import engine, variant
from tests.support.in_process_sandbox import InProcess
from tests.support.results_directory import probe
from tests.support.terminal_output import progress

SHAPE = Shape(1, 8, 6)


class Permuted(Dummy):
    """As if two layers were swapped: other tokens, other log-probabilities."""

    def _next(self, total):
        return (17 * total + 3) % self.vocabulary


class Cached(Dummy):
    """Answers a prompt that it has seen at once."""

    def load(self, job):
        self.seen = set()
        return super().load(job)

    def generate(self, prompts, new_tokens):
        fresh = str(prompts) not in self.seen
        self.seen.add(str(prompts))
        self.settings = {"first_ms": 30 if fresh else 1}  # far apart: other tests may run beside this one
        yield from super().generate(prompts, new_tokens)


class Dies(Dummy):
    def logprobs(self, tokens):
        raise RuntimeError("no room for the logits")


class Mute(Dummy):
    def logprobs(self, tokens):
        return NotImplemented


KINDS = {kind.__name__.lower(): kind for kind in (Dummy, Permuted, Cached, Dies, Mute)}


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch):
    """Neither its facts nor its load count: of steps that take no time, noise alone looks like a prefix cache."""
    monkeypatch.setattr("orchestrator.judge.gates.prefix.cold_prefix", lambda samples: "pass")
    monkeypatch.setattr(bandwidth, "probe", lambda *_: probe())
    monkeypatch.setattr(launcher, "IDLE_S", 0)
    monkeypatch.setattr(host, "facts", dict)


@pytest.fixture
def true_prefix_gate(monkeypatch, nothing_of_this_machine):
    monkeypatch.setattr("orchestrator.judge.gates.prefix.cold_prefix", cold_prefix)


@pytest.fixture
def patient_clock(monkeypatch):
    """Known delays that a busy machine stretches still read back: the tolerance itself is tested in unit/judge."""
    monkeypatch.setattr("orchestrator.judge.gates.delays.WITHIN", 0.5)


@pytest.fixture
def sandbox():
    return InProcess(KINDS)


@pytest.fixture
def measure(tmp_path, workspace, sandbox, monkeypatch):
    """Run contenders by the names of KINDS; rows by engine, and what was said.

    Without `calibrated` no known delays are read back: that takes a second, nearly all of it asleep.
    """
    monkeypatch.setattr("orchestrator.run.pipeline.Artefacts.ensure", lambda *_: None)
    path = checkpoint(tmp_path / "model", {"vocab_size": 128}, tokenizer=True)

    def measured(
        *names, precision="float32", profile="quick", quality=True, launches=1, reference=True, calibrated=False,
        ready_made=None, takes=(), shapes=(SHAPE,), first_ms=0,
    ):  # fmt: skip
        settings = {"first_ms": first_ms}
        delays = variant("ten", settings={"first_ms": 50, "step_ms": 10}, default=False)
        calibrates = "ten" if calibrated else None
        dummy = engine("dummy", [variant(settings=settings), delays], reference=reference, calibrates=calibrates)
        schemes = {name: (list(ready_made)[takes[name]],) if name in takes else () for name in names}
        others = {
            name: engine(name, [variant(precision=precision, ready=schemes[name], settings=settings)]) for name in names
        }
        chosen = {name: dummy if name == "dummy" else others[name] for name in names}
        said, text = progress()
        bench = in_process_runs.workbench(workspace, sandbox, [dummy, *chosen.values()], said)
        made = in_process_runs.plan(
            model(path), chosen.values(), shapes, ready_made, profile=profile, launches=launches, with_quality=quality
        )
        directory = tmp_path / "results"
        assert pipeline.measure(made, directory, bench)
        summary = summarise(directory)
        rows = {row["engine"] if len(shapes) == 1 else number: row for number, row in enumerate(summary["rows"])}
        return rows, text.getvalue(), summary

    return measured


@pytest.mark.usefixtures("true_prefix_gate", "patient_clock")
def test_a_right_engine_passes_every_gate(measure):
    rows, said, summary = measure("mute", "dummy", calibrated=True, first_ms=5)
    row = rows["dummy"]
    assert (row["outcome"], row["reason"]) == ("ok", None)
    assert row["gates"] == dict.fromkeys(row["gates"], "pass") and len(row["gates"]) == 6
    assert row["quality"]["kl"] == 0.0 and row["quality"]["top1"] == 1.0 and row["quality"]["greedy_match"] == 1.0
    assert row["quality"]["perplexity"] == row["quality"]["reference_perplexity"]
    assert row["quality"]["tokens"] == 8 * 512
    assert row["mbu"] > 0 and row["mfu"] > 0 and row["mfu_dtype"] == "float32"
    assert len(row["answers"]) == 5 and row["answers"] == summary["reference"]["answers"]
    assert summary["limits"]["bandwidth_gbs"]["best"] == 10.0
    assert "self-calibration: steps of 10 ms read back as " in said
    assert rows["mute"]["quality"]["kl"] is None and rows["mute"]["quality"]["greedy_match"] == 1.0
    assert "gives no log-probabilities" in rows["mute"]["quality_reason"]
    assert rows["mute"]["gates"]["agreement"] == "pass"


@pytest.mark.parametrize(("gflops", "flagged"), [(100.0, False), (1e-6, True)])
def test_a_prefill_that_outruns_the_measured_peak_is_flagged(measure, sandbox, gflops, flagged):
    sandbox.peak_gflops = gflops
    row = measure("dummy")[0]["dummy"]
    assert (row["mfu"] > 1, "above_peak" in row["flags"]) == (flagged, flagged)


def test_permuted_weights_are_fast_but_no_result(measure):
    rows, _, _ = measure("permuted", "dummy")
    assert rows["permuted"]["outcome"] == "invalid_output"
    assert rows["permuted"]["reason"].startswith(
        "gate agreement: at step 0 of prompt 0 the engine chose a token 50 nats"
    )
    assert rows["dummy"]["outcome"] == "ok"


def test_quantised_variants_are_told_apart_not_refused(measure, monkeypatch):
    monkeypatch.setattr("orchestrator.judge.gates.precision.precision_proof", lambda *_: "pass")
    rows, _, _ = measure("permuted", precision="int8")
    assert rows["permuted"]["outcome"] == "ok"
    assert rows["permuted"]["quality"]["top1"] < 0.1 and rows["permuted"]["quality"]["kl"] > 10


@pytest.mark.usefixtures("true_prefix_gate")
def test_a_prefix_cache_is_found(measure):
    rows, _, _ = measure("cached")
    assert rows["cached"]["outcome"] == "invalid_output", rows["cached"]["gates"]
    assert rows["cached"]["reason"].startswith("gate cold_prefix: ")
    assert rows["cached"]["repeated_launches"] == 2  # it fails every time


def test_a_prefix_that_looked_cached_once_was_a_busy_neighbour(measure, monkeypatch):
    words = iter(["fail: a repeated prompt took 0.7 of a fresh prompt's time", "pass"])
    monkeypatch.setattr("orchestrator.judge.gates.prefix.cold_prefix", lambda samples: next(words))
    rows, _, _ = measure("mute", calibrated=False, quality=False)
    assert (rows["mute"]["outcome"], rows["mute"]["gates"]["cold_prefix"]) == ("ok", "pass")
    assert rows["mute"]["repeated_launches"] == 1


def test_speed_is_kept_where_the_exam_breaks_the_launch(measure):
    rows, said, _ = measure("dies")
    assert rows["dies"]["outcome"] == "ok"
    assert rows["dies"]["quality"]["kl"] is None and rows["dies"]["quality"]["greedy_match"] == 1.0
    assert "engine_error while its quality was examined: measured again without" in said


def test_without_a_reference_the_gate_is_not_checked(measure):
    rows, _, _ = measure("dummy", reference=False)
    assert rows["dummy"]["outcome"] == "ok" and rows["dummy"]["quality"] is None
    assert rows["dummy"]["gates"]["agreement"].startswith("not checked: no reference: unsupported: no engine gives a")


def test_a_ready_made_checkpoint_takes_the_place_of_a_converted_one(measure, sandbox, tmp_path):
    place = tmp_path / "ready" / "gguf-q4_0-0123" / "artefact"
    place.mkdir(parents=True)
    given = {}
    sandbox.before = lambda task: given.update({task.engine: task.artefact})
    found = ReadyMade("gguf-q4_0", "org/m@v1 a.gguf", "c" * 40, "d" * 64, {"a.gguf": "e" * 64}, place)
    ready_made = {"gguf-q4_0": found, "awq-g128": CellError("unsupported", "it has vocab_size 96")}
    rows, _, _ = measure("mute", "dies", "dummy", ready_made=ready_made, takes={"mute": 0, "dies": 1})
    row = rows["mute"]
    assert given["mute"] == place
    told = [row[f"artefact_{name}"] for name in ("scheme", "source", "revision", "digest")]
    assert told == ["gguf-q4_0", "org/m@v1 a.gguf", "c" * 40, "d" * 64]
    assert "ready_made" in row["flags"]
    assert (rows["dies"]["outcome"], rows["dies"]["reason"]) == ("unsupported", "it has vocab_size 96")
    assert "dies" not in given
    assert rows["dummy"]["artefact_source"] is None and "ready_made" not in rows["dummy"]["flags"]


def test_quality_can_be_switched_off(measure, sandbox):
    rows, _, _ = measure("dummy", quality=False)
    assert rows["dummy"]["gates"]["agreement"] == "not checked: no reference: switched off with --no-quality"
    assert sandbox.ran == ["dummy common.tools.packages", "dummy bench_dummy.bench"]


def test_a_reference_that_fails_costs_no_speed(measure, sandbox):
    def refuse(task):
        if getattr(task.job, "score_generated", 0):
            raise CellError("oom_host", "killed")

    sandbox.before = refuse
    rows, _, _ = measure("dummy")
    assert rows["dummy"]["outcome"] == "ok" and rows["dummy"]["decode_tps"]["median"] > 0
    assert rows["dummy"]["gates"]["agreement"] == "not checked: no reference: oom_host: killed"
    assert "no reference: oom_host: killed" in rows["dummy"]["quality_reason"]


def test_each_engine_s_packages_are_beside_its_results(measure, tmp_path):
    measure("dummy")
    told = json.loads((tmp_path / "results" / "packages" / "dummy.cdx.json").read_text())
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert told["metadata"]["component"]["name"] == "venv:dummy"
    assert ("library", "mine", "1.0", "pkg:pypi/mine@1.0") in [
        (each["type"], each["name"], each["version"], each.get("purl")) for each in told["components"]
    ]


def test_an_engine_whose_packages_cannot_be_listed_is_measured_all_the_same(measure, sandbox):
    def lose(task):
        if task.module == "common.tools.packages":
            task.out.joinpath("packages.json").mkdir()

    sandbox.before = lose
    rows, said, _ = measure("dummy")
    assert rows["dummy"]["outcome"] == "ok"
    assert "dummy: no list of its packages: packages.json is not a plain file" in said


def test_larger_shapes_are_not_tried_after_one_ran_out_of_memory(measure, sandbox, monkeypatch):
    """By the judge's account: the smallest shape is killed, and nothing larger of that variant is started."""
    true_judge = scenario.judge_launch

    def judge(ended, directory, job, context, machine=None):
        if job.engine == "mute":
            return Verdict("oom_host", "killed by the kernel", None, {})
        return true_judge(ended, directory, job, context, machine)

    monkeypatch.setattr(scenario, "judge_launch", judge)
    monkeypatch.setattr(schedule, "order", lambda cells, launches, seed: [(0, cell) for cell in cells])
    shapes = [Shape(1, 8, 6), Shape(2, 8, 6), Shape(2, 4, 6)]
    rows, said, _ = measure("mute", shapes=shapes)
    assert [row["outcome"] for row in rows.values()] == ["oom_host"] * 3
    tried = [name for name in sandbox.ran if name == "mute bench_mute.bench"]
    assert len(tried) == 2  # 2 x 4 tokens is not larger in every respect, so it is tried
    assert "skipped after oom: a smaller shape of this variant, batch 1, 8 + 6 tokens, ran out of memory" in said


def test_the_reference_is_computed_once(measure, sandbox):
    computed = []
    sandbox.before = lambda task: computed.append(task.engine) if getattr(task.job, "score_generated", 0) else None
    measure("dummy")
    measure("dummy")
    assert computed == ["dummy"]


def test_a_noisy_launch_is_repeated_and_all_are_kept(measure, monkeypatch, tmp_path):
    noisy = iter([True, False, True, True, True])
    monkeypatch.setattr("orchestrator.judge.verdict.launch_metrics", once_a_launch(noisy))
    rows, said, _ = measure("dummy", profile="standard", launches=2)
    records = [json.loads(line) for line in (tmp_path / "results" / "journal.jsonl").read_text().splitlines()]
    tried = [(record["block"], record["noisy"]) for record in records if record["kind"] == "launch"]
    assert tried == [(0, True), (0, False), (1, True), (1, True), (1, True)]
    assert rows["dummy"]["launches"] == 2 and rows["dummy"]["repeated_launches"] == 3
    assert said.count("the host was noisy: repeated") == 3


def once_a_launch(noisy):
    from orchestrator.judge.speed import launch_metrics  # noqa: PLC0415 - the one that is replaced

    def told(samples, job, streams):
        found = launch_metrics(samples, job, streams)
        return {**found, "flags": ["noisy_host"] if job.probe_s and next(noisy, False) else []}

    return told


def test_the_quick_profile_repeats_no_launch_that_is_ok(measure, monkeypatch):
    monkeypatch.setattr("orchestrator.judge.verdict.launch_metrics", once_a_launch(iter([True] * 9)))
    rows, _, _ = measure("dummy", launches=2)
    assert rows["dummy"]["repeated_launches"] == 0


def lose_the_gpu(monkeypatch, lost):
    """`lost` says of each launch whether the driver loses the GPU while it runs."""
    stop = Monitor.stop

    def stopped(self):
        machine = stop(self)
        return {**machine, "flags": [*machine["flags"], *(["gpu_lost"] if next(lost) else [])]}

    monkeypatch.setattr(Monitor, "stop", stopped)


def test_a_gpu_that_is_lost_once_is_tried_once_more(measure, monkeypatch, tmp_path):
    lose_the_gpu(monkeypatch, iter([True, False]))
    rows, said, _ = measure("mute", quality=False)
    records = [json.loads(line) for line in (tmp_path / "results" / "journal.jsonl").read_text().splitlines()]
    tried = [record for record in records if record["kind"] == "launch"]
    assert [record["outcome"] for record in tried] == ["gpu_lost", "ok"]
    assert len({record["directory"] for record in tried}) == 2  # a fresh container, and the first try is kept
    assert rows["mute"]["outcome"] == "ok"
    assert "gpu_lost: tried once more in a fresh container" in said


def test_a_gpu_that_is_lost_twice_ends_the_work_on_it(measure, monkeypatch, sandbox):
    lose_the_gpu(monkeypatch, iter([True, True]))
    rows, said, _ = measure("mute", "dies", quality=False)
    assert {row["outcome"] for row in rows.values()} == {"gpu_lost"}
    assert len([name for name in sandbox.ran if "bench" in name.split(".")[-1]]) == 2  # the second engine never ran
    assert "no further launch on this device" in said


@pytest.mark.usefixtures("patient_clock")
def test_a_wall_clock_that_jumps_changes_nothing(measure, monkeypatch):
    """Row 25 of docs/trust/security.md: durations come from the monotonic clock alone: known delays read back true."""
    rng = random.Random(1)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(0, 4e9))
    monkeypatch.setattr(time, "time_ns", lambda: rng.randrange(4 * 10**18))
    rows, said, _ = measure("dummy", calibrated=True)
    assert rows["dummy"]["outcome"] == "ok" and rows["dummy"]["gates"]["self_calibration"] == "pass"
    assert "self-calibration: steps of 10 ms read back as " in said
