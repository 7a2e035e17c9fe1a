"""Finding the row that is to be measured again."""

from dataclasses import replace

import pytest

from orchestrator.answers.replay import recorded_row
from orchestrator.base.errors import UserError
from orchestrator.plan.cells import Cell, Shape
from tests.support.contenders import cell, engine, variant
from tests.support.results_directory import Results, job, results, sample


@pytest.fixture
def directory(tmp_path):
    """Two rows with two launches each."""
    return results(tmp_path / "r", [cell("alpha"), cell("beta")], launches_each=2)


def refusal(path, row=None):
    with pytest.raises(UserError) as refused:
        recorded_row.find(path, row)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("inside", ["out/result.json", "job.json", "out", ""])
def test_a_launch_names_its_row(directory, inside):
    found = recorded_row.find(directory / "launches" / "beta-float32-b1-p4-n3-2-k1" / inside, None)
    assert found.label == "beta-float32-b1-p4-n3"
    assert found.directory == directory
    assert [path.name[-4:] for path in found.launches] == ["1-k0", "2-k1"]
    assert found.run["seed"] == 7 and found.model["digest"] == "d" * 64 and found.planned["image"] == "venv:beta-1"
    assert found.shape == Shape(1, 4, 3)


def test_a_moved_directory_is_found_all_the_same(directory, tmp_path):
    directory.rename(tmp_path / "moved")
    assert recorded_row.find(tmp_path / "moved", "beta:float32").launches[0].is_dir()


@pytest.mark.parametrize("name", ["", "summary.json", "journal.jsonl"])
@pytest.mark.parametrize("row", ["beta:float32", "beta-float32-b1-p4-n3"])
def test_a_directory_and_a_row(directory, name, row):
    (directory / "summary.json").touch()
    assert recorded_row.find(directory / name, row).row["engine"] == "beta"


def test_a_directory_of_one_row_needs_no_name(tmp_path):
    assert recorded_row.find(results(tmp_path / "one", [cell()]), None).label == "alpha-float32-b1-p4-n3"


def test_a_row_that_is_not_clear(directory):
    assert refusal(directory).endswith("several rows match: say which with --row, one of alpha:float32, beta:float32")
    assert refusal(directory, "gamma:x").endswith(
        "no row is 'gamma:x': say which with --row, one of alpha:float32, beta:float32"
    )


def test_rows_of_several_shapes_are_told_apart_by_their_labels(tmp_path):
    made = variant()
    cells = [Cell(engine("alpha", [made]), made, Shape(1, 4, n)) for n in (3, 5)]
    said = refusal(results(tmp_path / "r", cells), "alpha:float32")
    assert said.endswith("one of alpha-float32-b1-p4-n3, alpha-float32-b1-p4-n5")


def test_what_is_no_launch(directory, tmp_path):
    (directory / "standards" / "limits-1").mkdir(parents=True)
    assert "is no launch: name out/result.json" in refusal(directory / "standards" / "limits-1")
    (directory / "launches" / "other").mkdir()
    assert "is no launch that" in refusal(directory / "launches" / "other")
    (tmp_path / "empty").mkdir()
    assert "belongs to no results directory" in refusal(tmp_path / "empty")
    (tmp_path / "empty" / "summary.json").touch()
    assert "(a merged directory?)" in refusal(tmp_path / "empty")


def test_a_row_without_figures(tmp_path):
    made = cell()
    written = Results(tmp_path / "r").run([made]).plan(made, ["k0"])
    written.launch(made, 0, "k0", outcome="oom_host", reason="killed\nlog")
    said = refusal(written.end())
    assert "has no figure to reproduce (oom_host: killed): measure it with `run` first" in said


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": {}, "shape": {"batch": 1}}', '{"model": 1}'])
def test_a_damaged_job(directory, content):
    (directory / "launches" / "beta-float32-b1-p4-n3-1-k0" / "job.json").write_text(content)
    said = refusal(directory, "beta:float32")
    assert "is missing or damaged (" in said or "job.json cannot be read" in said


def test_the_job_is_without_paths_and_exam(tmp_path):
    made = cell()
    asked = job(made, score=[[1, 2]], score_s=9)
    asked = replace(asked, model=replace(asked.model, path="/model", artefact="/artefact"))
    written = Results(tmp_path / "r").run([made]).plan(made, ["k0"]).launch(made, 0, "k0", launch_job=asked)
    assert recorded_row.find(written.end(), None).job == job(made)


def test_tokens_of_several_launches(tmp_path):
    made = cell()
    written = Results(tmp_path / "r").run([made]).plan(made, ["k0", "k1"])
    other = [sample(0), sample(1, ids=[[8], [8], [8]])]
    written.launch(made, 0, "k0", samples=[sample(0), sample(1)]).launch(made, 1, "k1", samples=other)
    found = recorded_row.find(written.end(), None)
    assert recorded_row.tokens(found.launches[:1]) == ({0: [[7]] * 3, 1: [[7]] * 3}, None)
    assert recorded_row.tokens(found.launches)[1] == f"iteration 1 of {found.launches[1].name}"
