"""A GPU before and after a launch, with a driver that is made up and a clock that does not wait."""

import os
from pathlib import Path

import pytest

from orchestrator.base.errors import CellError
from orchestrator.machine.detect import Device
from orchestrator.machine.guard import DeviceGuard, DeviceUnusable
from orchestrator.machine.monitor.probes import GpuProbe, Unavailable

GPU = Device("cuda", "Example GPU", ("GPU-1",), 81920.0, {})


class Probe(GpuProbe):
    """`looks` are what each look finds: (PIDs, MiB in use), or an exception; the last one stays."""

    def __init__(self, *looks):
        super().__init__()
        self.looks, self.closed = list(looks), False

    def sample(self, now_ns, pids):
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        self.memory_of([(pid, 100.0) for pid in look[0]], now_ns, pids)
        return {"device_used_mib": look[1]}

    def close(self):
        self.closed = True


@pytest.fixture
def guard():
    """A guard of made-up looks; its `said` and its `now` (s)."""

    def make(*looks):
        time, said = [0.0], []

        def sleep(seconds):
            time[0] += seconds

        made = DeviceGuard(GPU, said.append, Probe(*looks), lambda: time[0], sleep)
        made.said, made.now = said, time
        return made

    return make


def test_a_free_device_is_taken_at_once(guard):
    made = guard(((), 500.0))
    made.before()
    made.after()
    assert made.now == [0.0] and made.said == []


def test_others_are_waited_for_and_named(guard):
    mine = os.getpid()
    made = guard(((mine,), 900.0), ((mine,), 900.0), ((), 500.0))
    made.before()
    assert made.now == [2.0]
    name = Path(f"/proc/{mine}/comm").read_text(encoding="utf-8").strip()
    assert made.said == [f"  waiting up to 60 s for other processes on the device: {name} (pid {mine})"]


def test_others_who_stay_are_a_cell_s_failure(guard):
    made = guard(((4194305,), 900.0))
    with pytest.raises(CellError, match=r"unknown \(pid 4194305\); stop them") as failed:
        made.before()
    assert failed.value.outcome == "gpu_contended" and made.now == [60.0]


def test_memory_that_comes_back_late_is_waited_for(guard):
    made = guard(((), 500.0), ((7,), 9000.0), ((), 9000.0), ((), 700.0))
    made.before()
    made.after()
    assert made.now == [2.0]


@pytest.mark.parametrize(("left", "words"), [
    (((), 9000.0), r"8500 MiB were not given back after a launch, held by no process"),
    (((4194305,), 9000.0), r"held by unknown \(pid 4194305\)"),
])  # fmt: skip
def test_memory_that_does_not_come_back_ends_the_work_on_the_device(guard, left, words):
    made = guard(((), 500.0), left)
    made.before()
    with pytest.raises(DeviceUnusable, match=words) as dirty:
        made.after()
    assert dirty.value.outcome == "gpu_contended" and str(dirty.value).startswith("device dirty: ")


def test_a_lost_device_ends_the_work_on_it(guard):
    made = guard(Unavailable("NVML: GPU is lost", flag="gpu_lost"))
    with pytest.raises(DeviceUnusable, match="does not answer") as lost:
        made.before()
    assert lost.value.outcome == "gpu_lost"


def test_a_cpu_is_not_guarded(cpu):
    made = DeviceGuard(cpu, print)
    made.before()
    made.after()
    made.close()


def test_a_driver_that_cannot_be_opened_is_said_once(monkeypatch):
    class Closed(Probe):
        def open(self):
            raise Unavailable("NVML: driver not loaded")

    said = []
    made = DeviceGuard(GPU, said.append, Closed(((), 0.0)))
    made.before()
    made.after()
    assert said == ["the device is not watched between launches: NVML: driver not loaded"]
