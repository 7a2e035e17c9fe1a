"""The commands beside `run`."""

import json
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest

from orchestrator.answers.check import conformance
from orchestrator.answers.check.finding import Finding
from orchestrator.base.errors import CellError
from orchestrator.base.paths import ROOT
from orchestrator.base.version import VERSION
from orchestrator.cli import engine_commands, main
from orchestrator.cli.commands import COMMANDS
from tests.support.contenders import cell
from tests.support.results_directory import results
from tests.support.terminal_output import complaint


def test_help_imports_nothing_that_takes_a_while():
    code = (
        "import sys; from orchestrator.cli.main import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"docker", "pandas", "numpy", "jinja2", "duckdb", "rich", "tokenizers", "yaml", "requests"}


def test_what_is_postponed_is_there_when_it_is_used():
    """In a process of its own: numpy is loaded in this one."""
    code = (
        "import sys; from orchestrator.cli.postpone import postpone; postpone('numpy', 'json'); import numpy as np; "
        "assert 'numpy.linalg' not in sys.modules; from numpy.linalg import norm; assert norm(np.ones(4)) == 2"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_version_is_said_and_is_the_package_s_and_the_citation_s(call):
    code, out, _ = call("--version")
    assert (code, out) == (0, f"benchmark.sh, version {VERSION}\n")
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()


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
    assert out.rstrip().endswith(
        f"report: {tmp_path / 'r' / 'report.html'} (for a browser), {tmp_path / 'r' / 'report.md'}"
    )
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

    monkeypatch.setattr("orchestrator.plan.run_plan.resolve", resolve)
    code, _, lines = call("check", "dummy", "--isolation", "venv")
    assert (code, lines[-1]) == (1, "error: fetch_failed: the hub does not answer")


def test_every_command_s_help_fits_and_has_an_example(call):
    for name, (_, about) in COMMANDS.items():
        code, out, _ = call(name, "--help")
        assert code == 0
        assert ("\n  ./benchmark.sh " if name == "run" else f"./benchmark.sh {name} ") in out, name
        assert max(map(len, out.splitlines())) <= 100, name
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command.get_short_help_str(200) == about, name


def test_where_output_is_data_json_is_all_of_stdout(call, monkeypatch):
    made = SimpleNamespace(tag="venv:dummy-1", id="1", recipe=("make it",))
    failed = CellError("build_failed", "no compiler\x1b[31m")
    found = {"dummy": made, "pytorch": failed}
    monkeypatch.setattr(engine_commands, "prepare_all", lambda *_: found)
    asked = ("build", "-e", "dummy,pytorch", "--isolation", "venv", "--device", "cpu")
    code, out, lines = call(*asked, "--format", "json")
    assert (code, json.loads(out)["dummy"]["tag"], len(lines)) == (1, "venv:dummy-1", 2)
    assert json.loads(out)["pytorch"]["outcome"] == "build_failed"
    code, out, _ = call(*asked)
    assert out == "dummy: venv:dummy-1\npytorch: build_failed: no compiler\n"
    findings = [Finding("folder", True), Finding("streams", False, "why"), Finding("eos", None)]
    monkeypatch.setattr(conformance, "examine", lambda *_: findings)
    code, out, _ = call("check", "dummy", "--isolation", "venv", "--device", "cpu", "--format", "json")
    assert code == 1
    assert [each["passed"] for each in json.loads(out)["dummy"]] == [True, False, None]


def test_the_list_fits_and_keeps_links_whole(call):
    for device in ("cpu", "cuda", "rocm", "metal"):
        code, out, _ = call("list", "--device", device)
        assert code == 0 and "\x1b" not in out
        assert all(len(line) <= 100 for line in out.splitlines() if "http" not in line)
        assert all(line.split() == [line.strip()] for line in out.splitlines() if "http" in line)
