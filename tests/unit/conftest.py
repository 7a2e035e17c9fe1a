import functools
import os
import sys

import pynvml
import pytest

from orchestrator.base.paths import ROOT, Workspace
from orchestrator.cli import main
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
def workspace(tmp_path):
    """This checkout, with results, cache and site settings in a folder of the test's own."""
    return Workspace(root=ROOT, cache=tmp_path / "cache", results=tmp_path / "results", site=tmp_path / "site.yaml")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without a GPU and without site settings."""
    host = Host(linux_machine(tmp_path / "host"), "Linux", "x86_64", affinity=range(4))
    found = detect.detect(FakeNvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND), host)
    monkeypatch.setattr(devices, "detect", lambda: found)
    for name in ("CUDA_VISIBLE_DEVICES", "BENCH_CA_BUNDLE", "BENCH_WHEELHOUSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(machine, workspace, monkeypatch, capsys):
    """Run the command line on `machine` in `workspace`. Returns (exit code, stdout, lines of stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmark.sh", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main(workspace)
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
