"""`new NAME` lays out an engine's folder that runs as it is; Dockerfiles and locks are those of every engine."""

import importlib.util
import json

import pytest

from orchestrator.answers.check.folder import check_folder
from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.judge import verdict
from orchestrator.plan import engine_yaml
from orchestrator.plan.new_engine import TEMPLATE, lay_out
from tests.support import dummy_launches
from tests.support.results_directory import CONTEXT, ended


def contender(folder):
    """The engine class of a folder's bench.py."""
    spec = importlib.util.spec_from_file_location("laid_out", folder / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Contender


@pytest.mark.parametrize("name", ["mine", "my_engine", "2x", "1", "true"])
def test_the_folder_is_an_engine(tmp_path, name):
    folder = lay_out(name, tmp_path)
    engine = engine_yaml.discover(tmp_path)[name]
    assert engine.folder == folder and engine.test_only
    assert "computes no model" in engine.devices["cpu"].support.note
    assert [finding.check for finding in check_folder(engine, "cpu") if not finding.passed] == []
    text = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "NAME" not in text and "TITLE" not in text and f"bench_{name}" in text


def test_a_launch_of_it_is_ok(tmp_path):
    (tmp_path / "out").mkdir()
    job = dummy_launches.make(score=[[3, 4, 5]])
    _, result, samples = dummy_launches.run(job, tmp_path / "out", contender(lay_out("mine", tmp_path)))
    assert result["outcome"] == "ok" and result["loaded"]["weight_bytes"] == 4000
    assert len({json.dumps(sample["ids"]) for sample in samples}) == len(samples)  # every prompt has its own answer
    assert verdict.judge_launch(ended(), tmp_path, job, CONTEXT).outcome == "ok"


@pytest.mark.parametrize("name", ["", "Mine", "my-engine", "../mine", "mine\n", "bench/x", "ü"])
def test_a_name_that_is_no_folder_s_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="a-z, 0-9"):
        lay_out(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_left_alone(tmp_path):
    (tmp_path / "bench_mine").symlink_to("nowhere")
    with pytest.raises(UserError, match="bench_mine exists"):
        lay_out("mine", tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        lay_out("mine", tmp_path / "file")


def test_the_command(call, monkeypatch, tmp_path):
    monkeypatch.setattr("orchestrator.cli.engine_commands.lay_out", lambda name: lay_out(name, tmp_path))
    code, out, _ = call("new", "mine")
    assert code == 0 and "./benchmark.sh check mine" in out
    code, _, lines = call("new", "mine")
    assert code == 2 and len(lines) == 1 and "exists" in lines[0]


@pytest.mark.parametrize("bench", [TEMPLATE / "bench.py", ROOT / "bench_dummy" / "bench.py"], ids=["template", "dummy"])
def test_an_example_stays_short(bench):
    assert len(bench.read_text(encoding="utf-8").splitlines()) <= 40
