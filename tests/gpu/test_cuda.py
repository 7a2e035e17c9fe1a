"""On a machine with an NVIDIA GPU: is it found, and do the engines run on it? Skipped, with the reason, elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.machine import detect
from orchestrator.machine.devices import choose_device
from orchestrator.machine.doctor import examination
from orchestrator.machine.monitor.sampling import Monitor
from orchestrator.plan import engine_yaml

ROOT = Path(__file__).resolve().parents[2]
FOUND = detect.detect()["cuda"]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not FOUND.devices, reason=f"no NVIDIA GPU: {FOUND.reason}"),
]


def test_detection_agrees_with_nvidia_smi():
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, check=True
    )
    ids = [device.ids[0] for device in FOUND.devices]
    assert set(listed.stdout.split()) <= set(ids)


def test_a_gpu_is_taken_by_index_and_by_uuid():
    uuid = FOUND.devices[0].ids[0]
    assert choose_device("cuda", "0", print).ids == choose_device("cuda", uuid, print).ids == (uuid,)


def test_engines_measure_on_the_gpu(tmp_path):
    toolkit = [each for each in examination.examine() if each.check == "nvidia-toolkit"]
    if not toolkit or toolkit[0].status != "ok":
        pytest.skip("no NVIDIA container toolkit: " + (toolkit[0].what if toolkit else "not examined"))
    names = [
        e.name
        for e in engine_yaml.discover().values()
        if not e.test_only and "cuda" in e.devices and e.devices["cuda"].support.runs
    ]
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "run",
        "--engines",
        ",".join(names),
        "--device",
        "cuda",
        "--out",
        out,
    ]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=7200, check=False)
    rows = json.loads((out / "summary.json").read_text())["rows"]
    failed = {
        (row["engine"], row["variant"]): row["reason"] for row in rows if row["outcome"] not in ("ok", "unsupported")
    }
    assert failed == {} and done.returncode == 0, done.stderr


def test_the_device_s_bandwidth_is_measured():
    """A copy within the device through the driver: between a tenth and all of any data sheet so far."""
    command = [sys.executable, "-m", "common.limits.bandwidth", "--device", "cuda"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 100 < json.loads(done.stdout)["best_gbs"] < 20_000


def test_the_monitor_reads_the_real_driver():
    watching = Monitor(FOUND.devices[0])
    watching.start()
    watching.idle(1.0)
    record = watching.stop()
    assert "nvml" not in record["unavailable"], record["unavailable"]
    assert record["static"]["driver"] and record["series"]["device_used_mib"][-1] > 0
    assert record["series"]["power_w"][-1] is None or record["series"]["power_w"][-1] > 1
    assert record["monitor_cpu_s"] < 0.5
