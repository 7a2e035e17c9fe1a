"""replay: the verdict, what makes a row not comparable, and the whole command in this process."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench_dummy.bench import Dummy
from common.limits import bandwidth
from orchestrator.answers.replay import differences, measure_again, recorded_row
from orchestrator.answers.replay.differences import Difference, replay_verdict
from orchestrator.base import outcomes
from orchestrator.base.stats import Interval
from orchestrator.machine import host
from orchestrator.models.resolve import resolve
from orchestrator.plan import engine_yaml
from orchestrator.plan.cells import Shape
from orchestrator.results import launch_record
from orchestrator.run import launcher, pipeline, session
from orchestrator.run.job import with_gates
from orchestrator.sandbox.images import Image
from tests.support import in_process_runs
from tests.support.checkpoints import checkpoint, model
from tests.support.contenders import cell, engine, variant
from tests.support.in_process_sandbox import InProcess
from tests.support.results_directory import HOST, Results, job, probe, results, sample
from tests.support.terminal_output import complaint, progress

SAME = (True, "identical")


def ratio(low, high):
    return Interval(1.0, low, high, 0.9)


# -- the verdict -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "tokens", "word", "reason"),
    [
        (ratio(0.96, 1.04), SAME, "reproduced", "[0.960, 1.040] lies within 1 ± 0.05"),
        (ratio(0.96, 1.04), (None, "?"), "reproduced", "lies within"),
        (ratio(0.95, 1.05), SAME, "reproduced", "lies within"),
        (ratio(0.96, 1.04), (False, "step 3"), "not reproduced", "the greedy tokens are not: step 3"),
        (ratio(0.80, 0.90), SAME, "not reproduced", "lies outside 1 ± 0.05"),
        (ratio(1.06, 1.10), SAME, "not reproduced", "lies outside 1 ± 0.05"),
        (ratio(0.90, 1.01), SAME, "not reproduced", "neither equal nor different is shown; more --launches"),
        (ratio(0.50, 2.00), SAME, "not reproduced", "neither equal nor different is shown"),
        (ratio(None, None), SAME, "not comparable", "5 good launches are needed on either side"),
        (None, SAME, "not comparable", "5 good launches"),
    ],
)
def test_the_verdict(interval, tokens, word, reason):
    found = replay_verdict([], interval, tokens, 0.05)
    assert found[0] == word
    assert reason in found[1]


def test_a_difference_comes_before_every_figure():
    different = [Difference(what, "a", "b", "do") for what in ("image", "model")]
    assert replay_verdict(different, ratio(1, 1), SAME, 0.05) == ("not comparable", "not the same: image, model")


def test_a_replay_that_fails_reproduces_nothing():
    assert replay_verdict([], None, SAME, 0.05, "oom_host: killed") == (
        "not reproduced", "the replay ended oom_host: killed"
    )  # fmt: skip


def test_every_verdict_has_an_exit_code_of_its_own():
    from orchestrator.cli.answer_commands import EXIT_CODES  # noqa: PLC0415

    assert EXIT_CODES == {"reproduced": 0, "not reproduced": 1, "not comparable": 5}
    codes = [value for name, value in vars(outcomes).items() if name.startswith("EXIT_")]
    assert len(set(codes)) == len(codes)


# -- what must be the same -------------------------------------------------------------------------------------------


@pytest.fixture
def there(tmp_path):
    """A row of five launches, as `run` would have written it."""
    made = cell()
    written = Results(tmp_path / "r").run([made]).plan(made, [f"k{block}" for block in range(5)])
    for block in range(5):
        written.launch(made, block, f"k{block}", launch_job=with_gates(job(made)))
    return recorded_row.find(written.end(), None)


def test_nothing_differs(there, cpu):
    assert differences.machine_differences(there, cpu_like(there, cpu), HOST, "") == []
    assert differences.job_differences(there, cell(), 2) == []
    assert differences.launch_differences(there, 5) == []
    assert differences.loaded_differences(there, there.row) == []
    assert differences.noted(there, HOST, SimpleNamespace(id="i" * 12, tag="venv:alpha-1")) == [
        "the original does not say which artefact it loaded: compared by what the engine loaded"
    ]


def cpu_like(there, device):
    return replace(device, name=there.run["device"]["name"])


def test_another_device_or_processor(there, cpu):
    missing = differences.machine_differences(there, None, HOST, "no NVIDIA driver")
    assert [(each.what, each.here) for each in missing] == [("device", "no NVIDIA driver")]
    assert "replay on the machine that measured it" in missing[0].remedy
    other = differences.machine_differences(there, replace(cpu, name="Other"), {**HOST, "cpu_model": "Other"}, "")
    assert [each.what for each in other] == ["device", "cpu model"]


def test_another_model_is_named_by_its_file(there, tmp_path):
    other = model(checkpoint(tmp_path / "m"), digest="e" * 64, manifest={"a": "1", "b": "3"})
    known = replace(there, model={**there.model, "manifest": {"a": "1", "b": "2"}})
    (found,) = differences.model_differences(known, other)
    assert (found.original, found.here) == ("d" * 12, "e" * 12 + " (b)")
    assert "--model" in found.remedy
    assert differences.model_differences(known, replace(other, digest="d" * 64)) == []


def test_an_image_is_the_same_by_its_id_or_its_content(there):
    tag, image_id = there.planned["image"], there.planned["image_id"]
    assert differences.image_differences(there, Image("x", image_id, ())) == []
    rebuilt = Image(tag, "another", ())
    assert differences.image_differences(there, rebuilt) == []
    assert f"image {tag} was rebuilt: the same content under another id" in differences.noted(there, HOST, rebuilt)
    (found,) = differences.image_differences(there, Image("venv:alpha-2", "another", ()))
    assert (found.original, found.here) == (tag, "venv:alpha-2")
    assert found.remedy == f"check out the suite's commit {'c' * 12} and replay there"


def test_another_artefact(there, monkeypatch, tmp_path):
    monkeypatch.setattr(differences, "identity", lambda path: path and {"name": "alpha-q8-0", "digest": "b" * 64})
    known = replace(there, planned={**there.planned, "artefact": {"name": "alpha-q8-0", "digest": "a" * 64}})
    (found,) = differences.artefact_differences(known, tmp_path)
    assert (found.original, found.here) == ("a" * 12, "b" * 12)
    same = replace(there, planned={**there.planned, "artefact": {"name": "other-name", "digest": "b" * 64}})
    assert differences.artefact_differences(same, tmp_path) == []
    assert differences.artefact_differences(there, tmp_path) == []  # an older journal does not say


def test_another_job_is_named_by_its_keys(there):
    found = differences.job_differences(there, cell(settings={"flash": True}), 4)
    assert [each.what for each in found] == ["job: settings", "job: threads"]
    assert (found[1].original, found[1].here) == ("2", "4")


def test_too_few_launches(there):
    assert [each.what for each in differences.launch_differences(there, 4)] == ["launches"]
    few = replace(there, row={**there.row, "launches": 1})
    assert [each.what for each in differences.launch_differences(few, 1)] == ["launches of the original", "launches"]
    assert "--profile standard" in differences.launch_differences(few, 5)[0].remedy


def test_what_the_engine_loaded(there):
    row = {**there.row, "threads": 1, "loaded": {**there.row["loaded"], "weight_bytes": 1}}
    assert [each.what for each in differences.loaded_differences(there, row)] == ["threads", "loaded weight_bytes"]


def launches_of(folder, *tokens):
    """One launch directory for each token that is generated in iteration 1."""
    made = Results(folder).run([cell()]).plan(cell(), [f"k{i}" for i in range(len(tokens))])
    for block, token in enumerate(tokens):
        made.launch(cell(), block, f"k{block}", samples=[sample(0), sample(1, ids=[[7], [int(token)], [7]])])
    return recorded_row.find(made.end(), None).launches


def test_tokens(tmp_path):
    steady, other, torn = (launches_of(tmp_path / name, *t) for name, t in (("a", "77"), ("b", "88"), ("c", "78")))
    assert differences.compare_tokens(steady, steady) == (True, "identical in 2 iterations")
    assert differences.compare_tokens(steady, other) == (False, "iteration 1, step 1: [7] there, [8] here")
    assert differences.compare_tokens(torn, steady)[0] is None
    assert differences.compare_tokens(steady, torn)[0] is False


# -- the whole command -----------------------------------------------------------------------------------------------


class Gone(Dummy):
    def load(self, job):
        raise RuntimeError("no such kernel")


@pytest.fixture
def world(tmp_path, monkeypatch, cpu, machine, workspace):
    """A measured row, and a machine that can measure it again."""
    monkeypatch.setattr(bandwidth, "probe", lambda *_: probe())
    monkeypatch.setattr(launcher, "IDLE_S", 0)
    monkeypatch.setattr(host, "facts", lambda: HOST)
    monkeypatch.setattr("orchestrator.run.pipeline.Artefacts.ensure", lambda *_: None)
    # A busy machine must change no verdict here: a sleep is not always as long as it should be. So the gate that
    # compares times passes, and the speed is the one that the settings ask for.
    monkeypatch.setattr("orchestrator.judge.gates.prefix.cold_prefix", lambda samples: "pass")
    measured = launch_record.launch_metrics

    def as_set(samples, asked, streams):
        speed = 1000 / asked.settings.get("step_ms", 1)
        return {**measured(samples, asked, streams), "decode_tps": [speed + (samples[0].start_ns or 0) % 7 / 10] * 2}

    monkeypatch.setattr(launch_record, "launch_metrics", as_set)
    known = {"dummy": engine("dummy", [variant(settings={"first_ms": 2, "step_ms": 0.2})])}
    monkeypatch.setattr(engine_yaml, "discover", lambda root=None: known)
    sandbox = InProcess()
    monkeypatch.setattr(session, "sandbox_for", lambda *_: sandbox)
    monkeypatch.setattr(measure_again, "choose_device", lambda *_: cpu)
    path = checkpoint(tmp_path / "model", {"vocab_size": 128}, tokenizer=True)

    def measure(count=5):
        found = resolve(str(path), workspace.cache, say=lambda _: None)
        engines, shapes = known.values(), [Shape(1, 8, 6)]
        made = in_process_runs.plan(found, engines, shapes, device=cpu, launches=count, with_quality=False)
        bench = in_process_runs.workbench(workspace, sandbox, engines, progress()[0], cpu)
        assert pipeline.measure(made, tmp_path / "first", bench)
        return tmp_path / "first"

    return SimpleNamespace(measure=measure, sandbox=sandbox, known=known, model=path, directory=tmp_path / "first")


def contents(directory):
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.rglob("*") if path.is_file()}


def test_a_row_is_reproduced_and_the_original_stays_what_it_is(world, call, tmp_path):
    before = contents(world.measure())
    result = next((world.directory / "launches").glob("*")) / "out" / "result.json"
    code, out, said = call("replay", result, "--tolerance", "4%", "--out", tmp_path / "again", "--format", "json")
    found = json.loads(out)
    assert (code, found["verdict"]) == (0, "reproduced"), found
    assert found["tokens"] == {"identical": True, "detail": found["tokens"]["detail"]}
    assert found["tokens"]["detail"].startswith("identical in ")
    assert found["original"]["launches"] == found["replay"]["launches"] == 5
    assert found["original"]["directory"] != found["replay"]["directory"] == str(tmp_path / "again")
    assert found["ratio"]["level"] > 0.9 and found["differences"] == []
    assert any(line.startswith("[5/5] dummy-float32") for line in said)
    assert contents(world.directory) == before
    assert json.loads((tmp_path / "again" / "replay.json").read_text()) == found
    assert call("report", tmp_path / "again")[0] == 0
    jobs = [
        json.loads((next((folder / "launches").glob("*-2-*")) / "job.json").read_text())
        for folder in (world.directory, tmp_path / "again")
    ]
    assert jobs[0] == jobs[1]


def test_the_text_shows_both_figures_and_the_verdict(world, call, tmp_path):
    world.measure()
    code, out, _ = call("replay", world.directory, "--tolerance", "0.06")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "replay of dummy float32 - model: batch 1, 8 prompt + 6 new tokens"
    assert lines[1].startswith("  original  ") and "decode tok/s" in lines[1]
    assert any(line.startswith("  ratio     ") and "at level 0.9048; tolerance 1 ± 0.06" in line for line in lines)
    assert lines[-1].startswith("reproduced: the ratio's interval [")
    assert all(len(line) <= 100 for line in lines)
    (made,) = (tmp_path / "results").iterdir()
    assert made.name.endswith("-replay-dummy-float32")


def test_another_speed_is_not_reproduced(world, call):
    world.measure()
    world.sandbox.before = lambda task: task.job.settings.update(step_ms=0.6)
    code, out, _ = call("replay", world.directory)
    assert code == 1
    assert "not reproduced: the ratio's interval" in out and "lies outside 1 ± 0.05" in out


def test_too_few_launches_are_refused_before_anything_is_measured(world, call, tmp_path):
    world.measure(count=1)
    world.sandbox.ran.clear()
    code, out, _ = call("replay", world.directory, "--out", tmp_path / "again")
    assert code == 5
    assert out.splitlines()[-1] == "not comparable: not the same: launches of the original, launches"
    assert "replay    not measured" in out
    assert world.sandbox.ran == [] and not (tmp_path / "again").exists()


def test_anyway_measures_and_still_does_not_compare(world, call, tmp_path):
    world.measure(count=1)
    code, out, said = call("replay", world.directory, "--anyway", "--out", tmp_path / "again")
    assert code == 5
    assert "  replay    " in out and "not measured" not in out and "no interval" in out
    assert "measured anyway, though not comparable: launches" in said


def test_another_model_is_refused(world, call):
    world.measure()
    (world.model / "config.json").write_text((world.model / "config.json").read_text() + "\n")
    code, out, _ = call("replay", world.directory)
    assert code == 5
    assert "(config.json) here" in out and out.splitlines()[-1] == "not comparable: not the same: model"


def test_a_model_that_has_moved_can_be_named(world, call, tmp_path):
    world.measure()
    world.model.rename(tmp_path / "moved")
    said = complaint(call("replay", world.directory))
    assert said.startswith("no such directory") and "say with --model where it lies now" in said
    code, out, _ = call("replay", world.directory, "--model", tmp_path / "moved")
    assert code == 0, out


def test_an_image_of_another_content_is_refused_unless_the_old_one_is_here(world, call, monkeypatch):
    world.measure()
    new = SimpleNamespace(tag="venv:dummy-new", id="2", recipe=("make it",))
    monkeypatch.setattr(world.sandbox, "prepare", lambda *_: new)
    world.sandbox.ran.clear()
    code, out, _ = call("replay", world.directory)
    assert (code, world.sandbox.ran) == (5, [])
    assert "differs   image: venv:dummy there, venv:dummy-new here" in out
    monkeypatch.setattr(world.sandbox, "recall", lambda tag, image_id, recipe: Image(tag, image_id, recipe))
    code, out, said = call("replay", world.directory)
    assert code == 0, out
    assert "image: venv:dummy (1)" in said


def test_an_engine_that_is_gone(world, call):
    world.measure()
    del world.known["dummy"].variants["float32"]
    code, out, _ = call("replay", world.directory)
    assert code == 5
    assert "differs   variant: float32 there, not in this checkout here" in out


def test_a_replay_that_breaks_down(world, call):
    world.measure()
    world.sandbox.kinds["dummy"] = Gone
    code, out, _ = call("replay", world.directory)
    assert code == 1
    assert "not reproduced: the replay ended load_failed: RuntimeError: no such kernel" in out


def test_mistakes(world, call, tmp_path):
    directory = results(tmp_path / "r", [cell("alpha"), cell("beta")])
    assert "several rows match" in complaint(call("replay", directory))
    assert "expected a share between 0 and 1" in complaint(call("replay", directory, "--tolerance", "150%"))
    assert "name the directory to continue" in complaint(call("replay", directory, "--row", "beta:float32", "--resume"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    said = complaint(call("replay", directory, "--row", "beta:float32", "--out", tmp_path / "full"))
    assert "is not empty" in said
