"""The dummy in a process of its own, with the faults that take the process down."""

import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from bench_dummy.faults import FAULTS
from orchestrator.judge.verdict import judge_launch
from orchestrator.machine.host import SUITE
from tests.support.dummy_launches import make
from tests.support.results_directory import CONTEXT, ended


def spawn(tmp_path, made, timeout=20, **options):
    """Run the dummy as the sandboxes do. Returns the exit code, or None if it had to be killed."""
    (tmp_path / "job.json").write_text(json.dumps(made, default=vars))
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-m", "bench_dummy.bench", "--job", tmp_path / "job.json", "--out", tmp_path / "out"]
    with (tmp_path / "stderr.log").open("wb") as log:
        try:
            return subprocess.run(command, cwd=SUITE, timeout=timeout, stderr=log, check=False, **options).returncode
        except subprocess.TimeoutExpired:
            return None


def test_a_process_that_goes_well(tmp_path):
    assert spawn(tmp_path, make()) == 0
    assert judge_launch(ended(), tmp_path, make(), CONTEXT).outcome == "ok"


def test_a_process_says_which_others_it_leaves_behind(tmp_path):
    assert spawn(tmp_path, make()) == 0
    left = tmp_path / "out" / "processes_left.json"
    assert json.loads(left.read_text()) == []
    again = tmp_path / "again"
    again.mkdir()
    assert spawn(again, make(fault="leave_process")) == 0
    assert json.loads((again / "out" / left.name).read_text()) == ["sleep 7"]


@pytest.mark.parametrize(("fault", "number"), [("segfault", signal.SIGSEGV), ("abort", signal.SIGABRT)])
def test_a_crash_leaves_the_signal_and_its_traceback(tmp_path, fault, number):
    made = make(fault=fault)
    code = spawn(tmp_path, made, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
    assert code == -number
    verdict = judge_launch(ended(exit_code=code, signal=-code), tmp_path, made, CONTEXT)
    assert verdict.outcome == "engine_error"
    assert f"in {fault}" in verdict.reason  # faulthandler says where


def test_an_exit_in_the_middle_is_no_result(tmp_path):
    made = make(fault="exit_zero")
    assert spawn(tmp_path, made) == 0
    assert judge_launch(ended(), tmp_path, made, CONTEXT).outcome == "no_result"


@pytest.mark.parametrize("fault", ["hang_in_load", "hang_in_generate"])
def test_a_hang_is_ended_from_outside(tmp_path, fault):
    made = make(fault=fault)
    assert spawn(tmp_path, made, timeout=1) is None
    verdict = judge_launch(ended(exit_code=None, timed_out=True), tmp_path, made, CONTEXT)
    assert verdict.outcome == "timeout_wall"


def test_memory_that_runs_out_within_the_process(tmp_path):
    made = make(fault="eat_memory")

    def little():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    assert spawn(tmp_path, made, preexec_fn=little) == 1
    verdict = judge_launch(ended(exit_code=1), tmp_path, made, CONTEXT)
    assert verdict.outcome == "oom_suspected"
    assert "MemoryError" in verdict.reason


def test_every_fault_of_the_dummy_is_provoked_somewhere():
    tests = (SUITE / "tests").rglob("test_*.py")
    source = "".join(path.read_text(encoding="utf-8") for path in tests)
    assert [fault for fault in FAULTS if f'"{fault}"' not in source] == []


def test_the_smoke_run_needs_no_job(tmp_path):
    done = subprocess.run([sys.executable, "-m", "bench_dummy.bench", "--smoke"], cwd=SUITE, capture_output=True,
                          text=True, check=True, env={"PATH": os.environ["PATH"]})  # fmt: skip
    assert done.stdout == "Dummy: imports work\n"
