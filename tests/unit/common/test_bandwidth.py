"""The bandwidth probe and the limits: real reads of this machine's memory, small ones."""

import json
import subprocess
import sys

import numpy as np
import pytest

from common.limits import bandwidth, device_memory, host_memory, matmul
from orchestrator.machine.measured_limits import limits_of


def cpu(root, number, level, kind, size, shared):
    index = root / f"cpu{number}" / "cache" / f"index{level}{kind[0]}"
    index.mkdir(parents=True)
    for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
        (index / name).write_text(f"{text}\n")


def test_the_last_level_cache_is_summed_over_its_instances(tmp_path):
    for number, shared in enumerate(("0-1", "0-1", "2-3", "2-3")):
        cpu(tmp_path, number, 1, "Instruction", "32K", str(number))
        cpu(tmp_path, number, 2, "Unified", "1024K", str(number))
        cpu(tmp_path, number, 3, "Unified", "16M", shared)
    assert host_memory.last_level_cache(tmp_path) == 2 * (16 << 20)


def test_an_unknown_cache_is_none(tmp_path):
    assert host_memory.last_level_cache(tmp_path) is None


@pytest.mark.parametrize(
    ("cache", "size"), [(1 << 20, 1 << 28), (64 << 20, 640 << 20), (1 << 30, 1 << 30), (None, 1 << 30)]
)
def test_the_buffer_is_ten_caches_or_a_gigabyte(monkeypatch, cache, size):
    monkeypatch.setattr(host_memory, "last_level_cache", lambda: cache)
    monkeypatch.setattr(
        host_memory.mmap, "mmap", lambda _file, length, **_how: (_ for _ in ()).throw(MemoryError(length))
    )
    with pytest.raises(MemoryError) as error:
        host_memory.host_bandwidth(1, 0.01)
    assert error.value.args == (size,)


def test_this_machine_reads_its_memory(monkeypatch):
    monkeypatch.setattr(host_memory, "SMALLEST", 1 << 24)
    monkeypatch.setattr(host_memory, "last_level_cache", lambda: 1 << 20)
    found = host_memory.host_bandwidth(2, 0.01)
    assert found["buffer_bytes"] == 1 << 24 and found["threads"] == 2
    assert len(found["gbs"]) >= 4 and found["best_gbs"] == max(found["gbs"])
    assert 0.5 < found["best_gbs"] < 20_000


def test_the_program_prints_one_json_line():
    command = [sys.executable, "-m", "common.limits.bandwidth", "--threads", "1", "--seconds", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["method"] == "memchr and memcmp in turn"
    assert done.stderr == ""


def test_a_device_without_a_driver_has_none(capfd):
    assert bandwidth.probe("rocm", 1, 0.01) is None
    assert "libamdhip64" in capfd.readouterr().err


class Driver:
    """A driver library whose calls succeed at once, or fail as `failing` says."""

    def __init__(self, failing=""):
        self.failing, self.called = failing, []

    def __getattr__(self, name):
        self.called.append(name)
        return lambda *_: int(name == self.failing)


@pytest.mark.parametrize(
    ("prefix", "allocate", "copy"),
    [("cu", "cuMemAlloc_v2", "cuMemcpyDtoDAsync_v2"), ("hip", "hipMalloc", "hipMemcpyDtoDAsync")],
)
def test_a_gpu_copies_its_own_memory(monkeypatch, prefix, allocate, copy):
    driver = Driver()
    monkeypatch.setattr(device_memory.ctypes, "CDLL", lambda _name: driver)
    reading = device_memory.device_bandwidth("lib.so", prefix, 0)
    assert driver.called.count(allocate) == 2
    assert driver.called.count(copy) == device_memory.COPIES_PER_PASS * host_memory.MIN_PASSES
    assert len(reading["gbs"]) == host_memory.MIN_PASSES - 1  # without the first, which pays for the driver's start
    assert reading["buffer_bytes"] == 2 << 30 and reading["threads"] is None
    driver.failing = allocate
    with pytest.raises(OSError, match=f"{allocate} returned 1"):
        device_memory.device_bandwidth("lib.so", prefix, 0)


def test_the_matmul_peak_grows_until_a_product_takes_long_enough(monkeypatch):
    monkeypatch.setattr(matmul, "MATMUL_S", 0.02)
    monkeypatch.setattr(matmul, "ENOUGH_S", 0.002)

    def at(n):
        a = np.ones((n, n), np.float32)
        return lambda: a @ a

    found = matmul.matmul_peak(at, 1024)
    assert found["gflops"] > 0.1 and found["n"] in (256, 512, 1024)


def test_limits_of_a_run():
    told = {
        "bandwidth": [
            {"best_gbs": value, "method": "memchr", "threads": 2, "buffer_bytes": 9, "last_level_cache": 1}
            for value in (20.0, 25.0, 22.0)
        ],
        "matmul": {"float32": {"gflops": 100.0, "n": 512, "by": "numpy"}},
    }
    found = limits_of(told)
    assert found["bandwidth_gbs"]["best"] == 25.0 and found["bandwidth_gbs"]["spread"] == pytest.approx(0.2)
    assert limits_of({"bandwidth": [None], "matmul": {}})["bandwidth_gbs"] is None
    told["matmul"]["float32"]["gflops"] = "much"
    with pytest.raises(ValueError, match="positive"):
        limits_of(told)
