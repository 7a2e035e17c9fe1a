"""The suite as a user runs it: `python -m orchestrator` in a checkout of its own, against the real Docker daemon."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import yaml

from orchestrator.engines import discover

ROOT = Path(__file__).resolve().parents[2]
POSSIBLE = {"first_ms": 0.5, "step_ms": 0.5}  # a dummy without delays is faster than memory: gate physics
PARTS = ("orchestrator", "common", "docker", "models", "bench_dummy", ".dockerignore")


class Checkout:
    """A copy of the suite in which a test may change files. Shares the real checkout's cache and so its images."""

    def __init__(self, path: Path, engines: Iterable[str] = ()):
        """With the folders of `engines`, and those that they build on, beside bench_dummy."""
        self.path = path
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

    def start(self, *arguments: str) -> subprocess.Popen:
        """As `run`, in the background, with stdout and stderr as pipes.

        Ctrl-C works in it also where pytest itself was put into the background, where shells have it ignored.
        """
        return subprocess.Popen(
            self.command(*arguments), cwd=self.path, env=self.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        )  # fmt: skip

    def measure(self, *arguments: str, timeout: int = 1200) -> tuple[subprocess.CompletedProcess, dict, Path]:
        """Run a benchmark into a fresh directory; (process, summary.json, directory)."""
        out = self.path / "results" / f"run{len(list((self.path / 'results').glob('*')))}"
        done = self.run("run", "--device", "cpu", "--out", str(out), *arguments, timeout=timeout)
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


def rows(summary: dict) -> dict[str, dict]:
    """Rows by variant name."""
    return {row["variant"]: row for row in summary["rows"]}


def leftovers(daemon) -> list:
    """Containers of this suite that still exist."""
    return daemon.containers.list(all=True, filters={"label": "llm-inference-bench=launch"})
