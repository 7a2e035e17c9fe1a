"""Dockerfiles are the same but where engines differ, and hadolint (with shellcheck for RUN lines) passes them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.plan import engine_yaml
from orchestrator.plan.new_engine import TEMPLATE

ENGINES = list(engine_yaml.discover().values())
DOCKERFILES = sorted([*ROOT.glob("bench_*/Dockerfile"), *ROOT.glob("docker/*.Dockerfile"), TEMPLATE / "Dockerfile"])
OWN = re.compile(r"# begin: this engine alone\n(.*?)# end: this engine alone\n", re.DOTALL)
LONGEST = 12  # lines of an engine's own


def shared(text, *folders):
    """A Dockerfile without what may differ: names, the two defaults, the marked lines."""
    text = re.sub(r"^ARG (BASE_IMAGE|DEVICE)=.*", r"ARG \1=", OWN.sub("", text), flags=re.MULTILINE)
    return re.sub("|".join(folders), "bench_NAME", text)


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


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_dockerfiles_differ_only_where_engines_do(engine):
    text = (engine.folder / "Dockerfile").read_text(encoding="utf-8")
    expected = (TEMPLATE / "Dockerfile").read_text(encoding="utf-8")
    assert shared(text, *(folder.name for folder in engine.folders)) == shared(expected, "bench_NAME")
    assert sum(block.count("\n") for block in OWN.findall(text)) <= LONGEST


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_an_engines_first_step_is_its_own(engine):
    """Of equal steps the builder takes the newest: that may be another engine's branch, without the layer wanted."""
    first = (engine.folder / "Dockerfile").read_text(encoding="utf-8").split("FROM ${BASE_IMAGE}\n")[1].splitlines()[0]
    assert first == f"LABEL llm-inference-bench.software={engine.software.name}"


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_system_packages_are_one_line(engine):
    [line] = (engine.software / "packages.apt").read_text(encoding="utf-8").splitlines()
    assert {"python3", "python3-venv"} <= set(line.split())
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package) for package in line.split())


def test_there_are_dockerfiles():
    assert len(DOCKERFILES) > 10
