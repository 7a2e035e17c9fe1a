import functools
import os
import sys

import pynvml
import pytest

from orchestrator.answers.replay import measure_again
from orchestrator.base.paths import ROOT
from orchestrator.cli import answer_commands, engine_commands, machine_commands, main, run_command
from orchestrator.machine import detect, devices, site
from orchestrator.machine.detect import Device
from orchestrator.machine.host import Host
from orchestrator.models.hub import fetch
from orchestrator.plan import engine_yaml
from tests.support.machines import FakeNvml, linux_machine


@pytest.fixture(scope="session", autouse=True)
def without_fsync():
    """What a test writes need not survive a power cut: waiting for the disk took a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def checkouts_engines_read_once():
    """The checkout's own engine.yaml files stay as they are: parsing all of them in every command took a quarter."""
    read = engine_yaml.read
    once = functools.cache(read)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_yaml, "read", lambda path: (once if path.is_relative_to(ROOT) else read)(path))
        yield


@pytest.fixture
def cpu():
    """The device that every machine has."""
    return Device("cpu", "Example (2 cores)", ("cpu",), 1024.0, {})


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without a GPU, no site settings, and results and cache in a folder of the test's own."""
    host = Host(linux_machine(tmp_path / "host"), "Linux", "x86_64", affinity=range(4))
    found = detect.detect(FakeNvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), host)
    monkeypatch.setattr(devices, "detect", lambda: found)
    for name in ("CUDA_VISIBLE_DEVICES", "BENCH_CA_BUNDLE", "BENCH_WHEELHOUSE"):
        monkeypatch.delenv(name, raising=False)
    for module in (run_command, answer_commands):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    for module in (run_command, engine_commands, machine_commands, measure_again):
        monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(machine, monkeypatch, capsys):
    """Run the command line on `machine`. Returns (exit code, stdout, lines of stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmark.sh", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err.splitlines()

    return run


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small checkout with one engine; the host has no CA bundle."""
    monkeypatch.setattr(site, "HOST_CA_BUNDLES", ())
    for name in (
        "common/engine.py", "common/launch.py", "bench_alpha/bench.py", "bench_alpha/Dockerfile",
        "bench_alpha/README.md", "bench_alpha/engine.yaml", "bench_alpha/requirements/cpu.txt",
        "bench_alpha/__pycache__/bench.pyc",
        "docker/install.sh", "docker/base.Dockerfile", "docker/debian_base.sh", "orchestrator/cli.py", "README.md",
    ):  # fmt: skip
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return tmp_path / "checkout"


@pytest.fixture
def no_hub_of_the_machine(tmp_path, monkeypatch):
    """No token, cache or proxy of the machine's, but a home of the test's own; retries at once."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.01)
