"""The supervisor of a launch: whatever its child does, it ends, says how, and leaves nothing running."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from orchestrator.machine.host import SUITE
from tests.support.dummy_launches import make


def start(tmp_path, made, *options):
    """The dummy under supervision, in a session of its own."""
    (tmp_path / "job.json").write_text(json.dumps(made, default=vars))
    (tmp_path / "out").mkdir()
    out = tmp_path / "out"
    command = [sys.executable, "-m", "common.supervise", "--watch", out / "samples.jsonl", *options, "--"]
    command += ["bench_dummy.bench", "--job", tmp_path / "job.json", "--out", out]
    return subprocess.Popen(
        [str(word) for word in command], cwd=SUITE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def end(process, timeout=30):
    """(exit code, stderr) of it."""
    _, said = process.communicate(timeout=timeout)
    return process.returncode, said


def running(*words):
    """Processes whose command line holds all the words."""
    found = []
    for each in psutil.process_iter(["cmdline"]):
        line = " ".join(each.info["cmdline"] or [])
        if all(str(word) in line for word in words):
            found.append(line)
    return found


def deaf(process):
    """Whether SIGTERM is ignored by the process."""
    try:
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            ignored = next(line for line in status if line.startswith("SigIgn:"))
    except OSError:  # it ended meanwhile
        return False
    return bool(int(ignored.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_child_that_goes_well(tmp_path):
    assert end(start(tmp_path, make(), "--hang-s", 10))[0] == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["outcome"] == "ok"


@pytest.mark.parametrize("fault", ["raise_in_load", "raise_in_generate"])
def test_a_failure_keeps_its_exit_code(tmp_path, fault):
    assert end(start(tmp_path, make(fault=fault)))[0] == 1


@pytest.mark.parametrize(("fault", "number"), [("segfault", signal.SIGSEGV), ("abort", signal.SIGABRT)])
def test_a_crash_is_told_by_its_signal(tmp_path, fault, number):
    code, said = end(start(tmp_path, make(fault=fault)))
    assert code == 128 + number
    assert f"in {fault}" in said


@pytest.mark.parametrize(("fault", "where"), [
    ("hang_in_load", "in load"), ("hang_in_generate", "in generate"), ("hang_in_close", "in close"),
])  # fmt: skip
def test_a_hang_ends_with_the_place_where_it_hangs(tmp_path, fault, where):
    code, said = end(start(tmp_path, make(fault=fault), "--hang-s", 1))
    assert code == 124
    assert "no sign of life for 1 s" in said and where in said
    assert running("bench_dummy", tmp_path) == []


def test_who_computes_or_writes_samples_is_alive(tmp_path):
    """2 s of iterations of 0.38 s, nearly all of it asleep: only the growing sample log says that something goes on."""
    made = make(first_ms=300, step_ms=20)
    code, said = end(start(tmp_path, made, "--hang-s", 1), timeout=120)
    assert code == 0, said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which signals a process ignores")
def test_a_deaf_child_is_killed_after_a_grace(tmp_path):
    process = start(tmp_path, make(fault="ignore_sigterm"))
    while not any(deaf(child) for child in psutil.Process(process.pid).children()):
        time.sleep(0.02)
    process.terminate()
    code, _ = end(process)
    assert code == 128 + signal.SIGKILL
    assert running("bench_dummy", tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to a process of our choice")
def test_a_grandchild_in_a_session_of_its_own_is_killed(tmp_path):
    before = len(running("sleep 8"))
    assert end(start(tmp_path, make(fault="leave_session")))[0] == 0
    assert len(running("sleep 8")) == before


def test_the_child_ends_when_the_host_is_killed(tmp_path):
    lease = tmp_path / "lease"
    lease.touch()
    holder = subprocess.Popen([
        sys.executable, "-c", "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)", str(lease),
    ], stdout=subprocess.PIPE)  # fmt: skip
    assert holder.stdout.readline() == b"held\n"
    process = start(tmp_path, make(fault="hang_in_generate"), "--lease", lease)
    time.sleep(1.5)  # the lease is looked at once a second
    assert process.poll() is None
    holder.kill()
    code, said = end(process, timeout=10)
    assert code == 128 + signal.SIGTERM and "the host is gone" in said
    assert running("bench_dummy", tmp_path) == []


def test_a_lease_that_cannot_be_seen_ends_nothing(tmp_path):
    (tmp_path / "lease").touch()  # nobody holds it, as where a virtual machine does not pass locks on
    code, said = end(start(tmp_path, make(), "--lease", tmp_path / "lease"))
    assert code == 0
    assert "is not watched" in said


def test_the_orchestrator_s_lease_is_held_and_goes_with_it(tmp_path):
    from orchestrator.sandbox.lease import Lease  # noqa: PLC0415 - what is tested

    lease = Lease("docker")
    assert oct(lease.path.stat().st_mode & 0o777) == "0o644"
    with lease.path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    path = lease.path
    del lease
    assert not os.path.exists(path)
