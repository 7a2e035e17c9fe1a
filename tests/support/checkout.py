"""The suite as a user runs it: `python -m orchestrator` in a checkout of its own, in containers or without."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import docker
import psutil
import yaml

from orchestrator.plan.engine_yaml import discover
from orchestrator.sandbox.images import LABEL

ROOT = Path(__file__).resolve().parents[2]
POSSIBLE = {"first_ms": 0.5, "step_ms": 0.5}  # a dummy without delays is faster than memory: gate physics
PARTS = ("orchestrator", "common", "docker", "bench_dummy", ".dockerignore")
SMALL = ("--prompt-tokens", "16", "--new-tokens", "12")


class Checkout:
    """A copy of the suite in which a test may change files. Shares the real checkout's cache and so its images."""

    def __init__(self, path: Path, engines: Iterable[str] = (), isolation: str = "auto"):
        """With the folders of `engines`, and those that they build on, beside bench_dummy."""
        self.path, self.isolation = path, isolation
        self.cache = ROOT / ".cache"
        self.made: list[str] = []  # engines that exist only here: their images go when the test ends
        known = discover(ROOT)
        folders = {folder.name for name in engines for folder in known[name].folders}
        for part in (*PARTS, *sorted(folders)):
            source = ROOT / part
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, path / part, ignore=ignore) if source.is_dir() else shutil.copy(source, path / part)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.path), "BENCH_CACHE": str(self.cache), "NO_COLOR": "1"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "orchestrator", *arguments]

    def run(self, *arguments: str, timeout: int = 1200) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*arguments), cwd=self.path, env=self.environment(), capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip

    def start(self, *arguments: str, streams: int = subprocess.PIPE) -> subprocess.Popen:
        """As `run`, in the background, with stdout and stderr as pipes (which hold 64 KiB), or whatever `streams` is.

        Ctrl-C works in it also where pytest itself was put into the background, where shells have it ignored.
        """
        return subprocess.Popen(
            self.command(*arguments), cwd=self.path, env=self.environment(), stdout=streams, stderr=streams, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        )  # fmt: skip

    def benchmark(self, out: Path, *arguments: str) -> tuple[str, ...]:
        return "run", "--device", "cpu", "--isolation", self.isolation, "--out", str(out), *arguments

    def build(self, *engines: str) -> None:
        done = self.run("build", "--engines", ",".join(engines), "--device", "cpu", "--isolation", self.isolation)
        assert done.returncode == 0, done.stderr

    def start_run(self, *arguments: str, streams: int = subprocess.PIPE) -> tuple[subprocess.Popen, Path]:
        """A benchmark in the background, and its results directory."""
        out = self.path / "results" / "background"
        return self.start(*self.benchmark(out, "--no-quality", *SMALL, *arguments), streams=streams), out

    def measure(self, *arguments: str, timeout: int = 1200) -> tuple[subprocess.CompletedProcess, dict, Path]:
        """Run a benchmark into a fresh directory; (process, summary.json, directory)."""
        out = self.path / "results" / f"run{len(list((self.path / 'results').glob('*')))}"
        done = self.run(*self.benchmark(out, *arguments), timeout=timeout)
        assert (out / "summary.json").is_file(), done.stderr
        return done, json.loads((out / "summary.json").read_text()), out

    def engine(self, name: str, variants: dict[str, dict], **top) -> None:
        """A contender made by copying bench_dummy under another name and changing only files in the copy."""
        folder = self.path / f"bench_{name}"
        self.made.append(name)
        shutil.copytree(self.path / "bench_dummy", folder)
        for path in folder.rglob("*"):
            if path.is_file():
                path.write_text(path.read_text().replace("bench_dummy", f"bench_{name}"))
        content = yaml.safe_load((folder / "engine.yaml").read_text())
        content.pop("calibrates")  # the original stays the one whose delays are read back
        content.update(name=name, title=name.capitalize(), **top)
        content["variants"] = {
            label: {
                "precision": "float32",
                "default": True,
                "devices": {"cpu": "supported"},
                **variant,
                "settings": {**POSSIBLE, **variant.get("settings", {})},
            }
            for label, variant in variants.items()
        }
        (folder / "engine.yaml").write_text(yaml.safe_dump(content))

    def left(self) -> list:
        """What still exists: containers of the engines made here, or processes that work in this checkout."""
        if self.isolation == "venv":
            return _processes(self.path)
        return [each for each in leftovers(docker.from_env()) if each.labels.get(f"{LABEL}.engine") in self.made]

    def remove_made(self, layers: bool = True) -> None:
        """The images and virtual environments of the engines that exist only here.

        Without `layers` those that a later test's engine of the same name can use stay; `prune` removes them.
        """
        for name in self.made:
            if layers:
                remove_venvs(self.cache, name)
            if self.isolation != "venv":
                client = docker.from_env()
                for image in client.images.list(name=f"llm-bench/{name}"):
                    client.images.remove(image.id, force=True, noprune=not layers)


def remove_venvs(cache: Path, name: str) -> None:
    for path in (cache / "venvs").glob(f"*{name}-cpu-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def prune() -> None:
    """Remove layers of this suite that belong to no image any more."""
    docker.from_env().images.prune({"dangling": True, "label": LABEL})


def _processes(path: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and str(path) in f"{process.cwd()} {process.cmdline()}":
                found.append(process)
    return found


def wait_for(what, process: subprocess.Popen, seconds: float = 120):
    """What `what()` returns once that is true; `process` has to be alive until then."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come so far in time"
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return found


def rows(summary: dict) -> dict[str, dict]:
    """Rows by variant name."""
    return {row["variant"]: row for row in summary["rows"]}


def leftovers(daemon) -> list:
    """Containers of this suite that still exist."""
    return daemon.containers.list(all=True, filters={"label": f"{LABEL}=launch"})
