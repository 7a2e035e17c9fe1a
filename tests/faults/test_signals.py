"""Rows 13 and 14 of docs/trust/security.md: a run that is told to stop, and an orchestrator that is killed."""

import json
import signal
import time

import pytest

from orchestrator.sandbox.images import LABEL
from tests.support.checkout import SMALL, wait_for


@pytest.mark.parametrize(("isolation", "signals"), [
    ("docker", [signal.SIGINT]), ("docker", [signal.SIGINT, signal.SIGINT]), ("venv", [signal.SIGTERM]),
], indirect=["isolation"])  # fmt: skip
def test_a_stopped_run_loses_nothing(checkout, signals):
    checkout.engine("faulty", {"quick": {}, "slow": {"settings": {"step_ms": 400}}})
    checkout.build("faulty", "dummy")
    process, out = checkout.start_run("--engines", "faulty", "--seed", "3")
    wait_for(lambda: list(out.glob("launches/faulty-slow-*/out/samples.jsonl")), process)
    for each in signals:
        process.send_signal(each)
        time.sleep(0.2)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert checkout.left() == []
    last = json.loads((out / "journal.jsonl").read_text().splitlines()[-1])
    assert (last["kind"], last["outcome"]) == ("end", "interrupted")
    resumed(checkout, out)


@pytest.fixture
def killed(checkout):
    """A checkout whose orchestrator was killed in the middle of a launch, and the results directory."""
    checkout.engine("faulty", {"slow": {"settings": {"step_ms": 400}}})
    checkout.build("faulty", "dummy")
    process, out = checkout.start_run("--engines", "faulty")
    wait_for(lambda: list(out.glob("launches/faulty-slow-*/out/samples.jsonl")), process)
    process.kill()
    process.wait()
    return checkout, out


def resumed(checkout, out):
    again = checkout.run(*checkout.benchmark(out, "--engines", "faulty", "--no-quality", *SMALL, "--resume"))
    assert again.returncode == 0, again.stderr
    return again.stderr


@pytest.mark.parametrize("isolation", ["docker"], indirect=True)
def test_a_killed_orchestrator_s_container_ends_itself_and_the_next_start_removes_it(killed, daemon):
    checkout, out = killed
    (orphan,) = checkout.left()
    orphan.wait(timeout=30)
    assert b"the host is gone" in orphan.logs()
    labels = {LABEL: "launch", f"{LABEL}.engine": "faulty"}
    other = daemon.containers.create(orphan.image, labels=labels)  # nobody's: it stays
    try:
        assert "removed 1 container(s) of a run that was killed" in resumed(checkout, out)
        assert [each.id for each in checkout.left()] == [other.id]
    finally:
        other.remove(force=True)


@pytest.mark.parametrize("isolation", ["venv"], indirect=True)
def test_a_killed_orchestrator_s_processes_end_themselves(killed):
    checkout, out = killed
    deadline = time.monotonic() + 30
    while checkout.left():
        assert time.monotonic() < deadline, "the launch outlived its lease"
        time.sleep(0.5)
    assert "the host is gone" in next(out.glob("launches/faulty-slow-*/stderr.log")).read_text()
    resumed(checkout, out)
