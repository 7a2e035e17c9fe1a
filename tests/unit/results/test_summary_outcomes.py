"""How a cell ended: failed, interrupted, resumed, superseded."""

import pytest

from orchestrator.results.summary import summarise
from tests.support.contenders import cell
from tests.support.results_directory import Results

A, B = cell("alpha"), cell("beta")


def rows(directory):
    return {row["engine"]: row for row in summarise(directory)["rows"]}


@pytest.fixture
def made(tmp_path):
    return Results(tmp_path / "r")


def test_a_failed_launch_is_the_cell_s_outcome(made):
    made.run([A, B]).plan(A, ["k0", "k1"]).plan(B, ["k0", "k1"])
    made.launch(A, 0, "k0").launch(B, 0, "k0").launch(A, 1, "k1", "oom_host", "killed").launch(B, 1, "k1")
    found = rows(made.end())
    assert (found["alpha"]["outcome"], found["alpha"]["reason"], found["alpha"]["launches"]) == (
        "oom_host",
        "killed",
        1,
    )
    assert found["beta"]["outcome"] == "ok"


def test_a_cell_that_never_came_to_a_launch(made):
    made.run([A, B])
    made.journal.append("cell_end", label=A.label, outcome="build_failed", reason="no compiler")
    found = rows(made.plan(B, ["k"]).launch(B, 0, "k").end())["alpha"]
    assert (found["outcome"], found["reason"]) == ("build_failed", "no compiler")
    assert (found["decode_tps"], found["workload"], found["launches"], found["image"]) == (None, None, 0, None)


@pytest.mark.parametrize("last_record", ["interrupted", None])
def test_an_interrupted_run_keeps_what_it_measured(made, last_record):
    """Ctrl-C writes an end; a power cut does not."""
    made.run([A, B], launches=2).plan(A, ["k0", "k1"]).plan(B, ["k0", "k1"])
    made.launch(A, 0, "k0").launch(B, 0, "k0").launch(A, 1, "k1")
    if last_record:
        made.end(last_record)
    summary = summarise(made.directory)
    alpha, beta = summary["rows"]
    assert alpha["outcome"] == "ok"
    assert (beta["outcome"], beta["launches"]) == ("interrupted", 1)
    assert beta["reason"] == "1 of 2 launches were measured; `--resume` measures the rest"
    assert summary["run"]["end"] == "interrupted"


def test_a_torn_journal_is_read_up_to_the_tear(made):
    made.run([A]).plan(A, ["k"]).launch(A, 0, "k").end()
    path = made.directory / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    summary = summarise(made.directory)
    assert summary["rows"][0]["outcome"] == "ok"
    assert summary["run"]["end"] == "interrupted"


def test_a_resumed_run_supersedes(made):
    made.run([A, B]).plan(A, ["k"]).plan(B, ["k"])
    made.launch(A, 0, "k", "interrupted", "stopped by the user").journal.append("end", outcome="interrupted", time="x")
    made.run([A, B], time="later").plan(A, ["k"]).plan(B, ["k"])
    found = rows(made.launch(A, 0, "k").launch(B, 0, "k").end())
    assert [row["outcome"] for row in found.values()] == ["ok", "ok"]
    assert summarise(made.directory)["run"]["end"] == "finished"


def test_what_was_measured_with_another_image_does_not_count(made):
    made.run([A]).plan(A, ["old"]).launch(A, 0, "old").journal.append("end", outcome="finished", time="x")
    made.run([A]).plan(A, ["new"])
    found = rows(made.end("interrupted"))["alpha"]
    assert (found["outcome"], found["launches"], found["decode_tps"]) == ("interrupted", 0, None)


def test_cells_that_only_the_first_run_asked_for_stay(made):
    made.run([A]).plan(A, ["k"]).launch(A, 0, "k").journal.append("end", outcome="finished", time="x")
    found = rows(made.run([B]).plan(B, ["k"]).launch(B, 0, "k").end())
    assert [row["outcome"] for row in found.values()] == ["ok", "ok"]


def test_a_row_belongs_to_the_run_that_measured_it(made):
    """Resumed on another device and model, in the same directory: nothing may change its label."""
    made.run([A]).plan(A, ["k"]).launch(A, 0, "k").journal.append("end", outcome="finished", time="x")
    gpu = {"kind": "cuda", "name": "Big GPU", "ids": ["GPU-1"], "key": "cuda", "detail": {}}
    made.run([B], model="n", **{"device": gpu, "isolation": "docker", "hostname": "other"})
    found = rows(made.plan(B, ["k"]).launch(B, 0, "k").end())
    told = [[row[key] for key in ("device", "device_name", "isolation", "machine", "model")] for row in found.values()]
    assert told == [["cpu", "Example", "venv", "box", "m"], ["cuda", "Big GPU", "docker", "other", "n"]]


def test_a_resumed_run_that_stops_at_once_forgets_no_model(made):
    made.run([A]).plan(A, ["k"]).launch(A, 0, "k").journal.append("end", outcome="finished", time="x")
    summary = summarise(made.run([A], model=None).end("interrupted"))
    assert summary["rows"][0]["model"] == "m"
    assert summary["run"]["model"]["parameters"] == 1000
