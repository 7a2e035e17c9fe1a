"""The commands beside `run`."""

import json

import pytest
from made_up import cell, complaint, results

from orchestrator import cli
from orchestrator.errors import CellError


def test_help_names_every_command(call):
    code, out, _ = call("--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in ("run", "list", "build", "check", "doctor", "report", "merge"))


def test_list_shows_the_engines(call):
    code, out, _ = call("list")
    assert code == 0
    assert "dummy" in out
    code, out, _ = call("list", "--format", "json")
    dummy = next(each for each in json.loads(out) if each["name"] == "dummy")
    assert dummy["variants"]["int4"]["devices"]["cpu"]["state"] == "unsupported"
    assert dummy["variants"]["int4"]["devices"]["rocm"]["state"] == "unsupported"
    assert complaint(call("list", "--device", "gpu")).startswith("unknown device 'gpu'")


def test_report_is_written_anew(call, tmp_path):
    results(tmp_path / "r", [cell()])
    code, out, _ = call("report", tmp_path / "r")
    assert code == 0
    assert out.rstrip().endswith(f"report: {tmp_path / 'r' / 'report.md'}")
    assert (tmp_path / "r" / "summary.csv").is_file()


def test_merge_writes_into_a_new_directory(call, tmp_path):
    one, two = results(tmp_path / "one", [cell("alpha")]), results(tmp_path / "two", [cell("beta")])
    code, _, _ = call("merge", one, two, "--out", tmp_path / "both")
    assert code == 0
    assert len(json.loads((tmp_path / "both" / "summary.json").read_text())["rows"]) == 2
    assert "is not empty" in complaint(call("merge", one, two, "--out", tmp_path / "both"))


def test_merge_that_is_refused_writes_nothing(call, tmp_path):
    one, two = results(tmp_path / "one", [cell()]), results(tmp_path / "two", [cell("beta")], workload="w2")
    assert "w2" in complaint(call("merge", one, two, "--out", tmp_path / "both"))
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize(
    "arguments", [["report", "nowhere"], ["merge", "nowhere", "--out", "x"], ["merge", "--out", "x"]]
)
def test_a_directory_that_is_not_there(call, arguments):
    complaint(call(*arguments))


def test_a_directory_without_results(call, tmp_path):
    assert "not a results directory" in complaint(call("report", tmp_path))


def test_a_cell_error_outside_a_run_is_a_line_too(call, monkeypatch):
    def resolve(*_, **__):
        raise CellError("fetch_failed", "the hub does not answer")

    monkeypatch.setattr(cli, "resolve", resolve)
    code, _, lines = call("check", "dummy", "--isolation", "venv")
    assert (code, lines[-1]) == (1, "error: fetch_failed: the hub does not answer")
