"""One run at a time on a device: who waits, for how long, and whom the refusal names."""

import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from orchestrator.machine.lock import device_lock


@pytest.fixture
def elsewhere(cpu, tmp_path):
    """Another process that holds the device for `seconds`."""
    code = (
        "import sys, time; from pathlib import Path; from orchestrator.machine.detect import Device; "
        "from orchestrator.machine.lock import device_lock; "
        "device = Device('cpu', 'Example (2 cores)', ('cpu',), 1024.0, {})\n"
        "with device_lock(device, Path(sys.argv[1])): print('held', flush=True); time.sleep(float(sys.argv[2]))"
    )
    started = []

    def hold(seconds):
        command = [sys.executable, "-c", code, str(tmp_path), str(seconds)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert started[-1].stdout.readline() == b"held\n"
        return started[-1]

    yield hold
    for each in started:
        each.kill()
        each.wait()


def test_the_refusal_names_the_holder(cpu, elsewhere, tmp_path):
    holder = elsewhere(60)
    with pytest.raises(BlockingIOError) as refused, device_lock(cpu, tmp_path):
        pass
    assert f'"pid": {holder.pid}' in str(refused.value) and "Example (2 cores) is in use" in str(refused.value)


def test_who_waits_is_told_for_what_and_gets_it(cpu, elsewhere, tmp_path):
    elsewhere(0.2)
    said = []
    with device_lock(cpu, tmp_path, wait_s=30, say=said.append):
        assert json.loads(next(tmp_path.glob("*.json")).read_text())["pid"] == os.getpid()
    assert len(said) == 1 and said[0].endswith("; waiting for it up to 30 s")


def test_the_wait_is_bounded(cpu, elsewhere, tmp_path):
    elsewhere(60)
    with pytest.raises(BlockingIOError), device_lock(cpu, tmp_path, wait_s=0.3, say=lambda text: None):
        pass


def test_a_lock_dies_with_its_holder(cpu, elsewhere, tmp_path):
    elsewhere(60).kill()
    with device_lock(cpu, tmp_path, wait_s=10, say=lambda text: None):
        assert json.loads(next(tmp_path.glob("*.json")).read_text())["pid"] == os.getpid()


def test_another_may_have_it_when_the_block_ends(cpu, tmp_path):
    with suppress(RuntimeError), device_lock(cpu, tmp_path):
        raise RuntimeError("whatever happens in it")
    with device_lock(cpu, tmp_path):
        pass
