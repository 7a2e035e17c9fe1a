"""A task in a virtual environment: how it ends, what it sees of the user's environment, what may not outlive it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.machine.host import SUITE
from orchestrator.machine.site import Site
from orchestrator.sandbox.task import Task
from orchestrator.sandbox.venvs import Environment, VenvSandbox
from tests.support.results_directory import job
from tests.support.terminal_output import progress

TOY = """
import argparse, json, os, pathlib, signal, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--job"); parser.add_argument("--out")
options = parser.parse_args()
job = json.loads(pathlib.Path(options.job).read_text())
out = pathlib.Path(options.out)
print("to stdout"); print("to stderr", file=sys.stderr, flush=True)
(out / "seen.json").write_text(json.dumps({"environment": dict(os.environ), "job": job, "folder": os.getcwd(),
    "stdin": sys.stdin.read(), "session": os.getsid(0) == os.getppid(), "path": sys.path[:2]}))
exec(job["settings"]["do"])
"""


@pytest.fixture
def root(tmp_path):
    """A checkout with one engine, whose bench.py does what its job says."""
    path = tmp_path / "checkout" / "bench_toy" / "bench.py"
    path.parent.mkdir(parents=True)
    path.write_text(TOY)
    (tmp_path / "checkout" / "common").symlink_to(SUITE / "common")  # the supervisor
    return tmp_path / "checkout"


@pytest.fixture
def sandbox(root, cpu):
    return VenvSandbox(Site(), cpu, "avx2", progress()[0], root, root.parent / "cache")


@pytest.fixture
def run(sandbox, tmp_path):
    """Run a task that does `do`. Returns how it ended and its directory."""
    path = tmp_path / "venv"
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(sys.executable)
    environment = Environment("venv:toy-1", "1", path, ("make it",))

    def run(do="", wall_s=20.0):
        directory = tmp_path / "launch"
        (directory / "out").mkdir(parents=True)
        task = Task("toy", "bench_toy.bench", job(settings={"do": do}), directory, directory / "out",
                    tmp_path / "model", tmp_path / "artefact", wall_s, {"OMP_NUM_THREADS": "2"})  # fmt: skip
        return sandbox.run(environment, task), directory

    return run


def seen(directory):
    return json.loads((directory / "out" / "seen.json").read_text())


def test_a_task_that_goes_well(run, tmp_path):
    ended, directory = run()
    assert (ended.exit_code, ended.signal, ended.oom_killed, ended.timed_out) == (0, None, False, False)
    assert 0 < ended.wall_s < 20
    assert (directory / "stdout.log").read_text() == "to stdout\n"
    assert (directory / "stderr.log").read_text() == "to stderr\n"
    told = seen(directory)
    places = {"path": str(tmp_path / "model"), "artefact": str(tmp_path / "artefact")}
    assert told["job"]["model"] == {**vars(job().model), **places}
    assert (told["stdin"], told["session"], told["folder"]) == ("", True, str(directory))


@pytest.mark.parametrize("code", [1, 3])
def test_an_exit_code(run, code):
    ended, _ = run(f"sys.exit({code})")
    assert (ended.exit_code, ended.signal, ended.timed_out) == (code, None, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_a_signal(run, number):
    ended, _ = run(f"os.kill(os.getpid(), {int(number)})")
    assert (ended.signal, ended.timed_out) == (number, False)


HELPER = """
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
(out / "helper").write_text(str(helper.pid))
"""


def gone(directory):
    """True when the helper ends within a second (a dead child that nobody has waited for counts as ended)."""
    pid = int((directory / "out" / "helper").read_text())
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_task_that_runs_too_long_is_ended_with_all_its_helpers(run):
    ended, directory = run(f"{HELPER}\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)", wall_s=1.0)
    assert (ended.exit_code, ended.signal, ended.timed_out) == (None, None, True)
    assert 1.0 <= ended.wall_s < 5
    assert gone(directory)


def test_helpers_do_not_outlive_a_task_that_ends(run):
    ended, directory = run(HELPER)
    assert ended.exit_code == 0
    assert gone(directory)


def test_an_interrupt_ends_the_task(run, sandbox, monkeypatch, tmp_path):
    def interrupted(self, timeout=None):
        while not (tmp_path / "launch" / "out" / "helper").is_file():
            time.sleep(0.01)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(f"{HELPER}\ntime.sleep(60)")
    assert gone(tmp_path / "launch")
    sandbox.stop()  # a second time does no harm


def test_no_token_and_no_stray_variable_reaches_the_engine(run, monkeypatch, root, tmp_path):
    stray = {"HF_TOKEN": "hf_secret", "HUGGING_FACE_HUB_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "secret",
             "OMP_NUM_THREADS": "64", "LD_PRELOAD": "", "PYTHONPATH": "/elsewhere", "PYTHONHASHSEED": "1",
             "TORCH_LOGS": "all", "http_proxy": "http://user:secret@proxy"}  # fmt: skip
    for key, value in stray.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("LANG", "C.UTF-8")
    _, directory = run()
    environment = seen(directory)["environment"]
    assert "secret" not in json.dumps(environment)
    assert set(environment) & set(stray) == {"OMP_NUM_THREADS", "PYTHONPATH"}
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["PYTHONPATH"] == str(root)
    assert environment["LANG"] == "C.UTF-8"
    assert environment["PATH"].split(":")[0] == str(tmp_path / "venv" / "bin")
    for file in directory.rglob("*.*"):
        assert "secret" not in file.read_text(errors="replace"), file


def test_the_launch_is_repeated_by_its_script(run, root, tmp_path):
    _, directory = run('(out / "again").write_text(job["model"]["name"])')
    before = SimpleNamespace(**seen(directory))
    done = subprocess.run(["sh", str(directory / "reproduce.sh")], cwd=root, capture_output=True, text=True, check=True,
                          env={"PATH": os.environ["PATH"]})  # fmt: skip
    assert done.stdout == "to stdout\n"
    assert (root / "reproduced" / "again").read_text() == "m"
    again = json.loads((root / "reproduced" / "seen.json").read_text())
    assert again["job"] == before.job
    assert again["environment"]["OMP_NUM_THREADS"] == "2"


def test_a_relative_results_directory_is_found(sandbox, tmp_path, monkeypatch):
    """`--out results/x` is relative to where the user is; the engine's process is elsewhere."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "venv"
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(sys.executable)
    directory = Path("results") / "launch"
    (directory / "out").mkdir(parents=True)
    task = Task("toy", "bench_toy.bench", job(settings={"do": ""}), directory, directory / "out",
                Path("model"), Path("artefact"), 20.0, {})  # fmt: skip
    ended = sandbox.run(Environment("venv:toy-1", "1", path, ("make it",)), task)
    assert ended.exit_code == 0, (directory / "stderr.log").read_text()
    seen = json.loads((directory / "out" / "seen.json").read_text())
    assert seen["job"]["model"]["path"] == str(tmp_path / "model")
