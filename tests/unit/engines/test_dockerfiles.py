"""Every Dockerfile parses, and hadolint (which runs shellcheck on its RUN lines) finds nothing in it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.plan import engine_yaml

DOCKERFILES = sorted([*ROOT.glob("bench_*/Dockerfile"), *ROOT.glob("docker/*.Dockerfile")])


@pytest.fixture(scope="module")
def hadolint():
    found = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint is not installed: its package has no program for this platform")
    return found


def lint(hadolint, path):
    command = [hadolint, "--no-color", "--config", str(ROOT / ".hadolint.yaml"), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_hadolint_finds_nothing(hadolint, path):
    done = lint(hadolint, path)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(("text", "told"), [
    ("FROM a:1\nRUNN true\n", "Dockerfile:2:4"),
    ("FROM a\nRUN true\n", "DL3006"),
    ("FROM a:1\nRUN cd /x && rm $y\n", "SC2086"),
    ("FROM a:1\nUSER root\n", "DL3002"),
])  # fmt: skip
def test_hadolint_would_find_something(hadolint, tmp_path, text, told):
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    done = lint(hadolint, path)
    assert done.returncode == 1
    assert told in done.stdout + done.stderr


@pytest.mark.parametrize("engine", engine_yaml.discover().values(), ids=lambda engine: engine.name)
def test_an_engines_first_step_is_its_own(engine):
    """Of equal steps the builder takes the newest: that may be another engine's branch, without the layer wanted."""
    lines = (engine.folder / "Dockerfile").read_text(encoding="utf-8").split("FROM ${BASE_IMAGE}\n")[1].splitlines()
    first = next(line for line in lines if not line.startswith("#"))
    assert first == f"LABEL llm-inference-bench.software={engine.software.name}"


def test_there_are_dockerfiles():
    assert len(DOCKERFILES) > 10
