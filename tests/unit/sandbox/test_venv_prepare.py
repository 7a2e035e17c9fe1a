"""A virtual environment is made once, from what its name says, and whole."""

import pytest

from orchestrator.base.errors import CellError
from orchestrator.machine.site import Site
from orchestrator.plan.engine import DeviceEntry
from orchestrator.sandbox.venvs import VenvSandbox
from tests.support.contenders import SUPPORTED, engine
from tests.support.terminal_output import progress


@pytest.fixture
def root(tmp_path):
    """A checkout with one engine, whose install is a shell line."""
    for name, text in {
        "bench_toy/bench.py": "", "bench_toy/requirements/cpu.txt": "", "common/engine.py": "",
        "docker/install.sh": 'mkdir -p "$3/bin"; echo "installed $1 for $2"\n',
    }.items():  # fmt: skip
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "checkout"


@pytest.fixture
def toy(root):
    return engine("toy", folder=root / "bench_toy", devices={"cpu": DeviceEntry(SUPPORTED, "debian:bookworm-slim")})


@pytest.fixture
def sandbox(root, cpu):
    return make(root, cpu)


def make(root, device, settings=None, features="avx2"):
    reporter, said = progress()
    made = VenvSandbox(settings or Site(), device, features, reporter, root, root.parent / "cache")
    made.said = said
    return made


def test_an_environment_is_made_once(sandbox, toy):
    first = sandbox.prepare(toy, "cpu")
    assert "installing into" in sandbox.said.getvalue()
    sandbox.said.truncate(0)
    assert sandbox.prepare(toy, "cpu") == first
    assert sandbox.said.getvalue() == ""
    assert first.recipe == (f"sh docker/install.sh bench_toy cpu {first.path}",)


def test_code_changes_the_name_and_the_lock_changes_the_environment(sandbox, toy, root):
    first = sandbox.prepare(toy, "cpu")
    (root / "bench_toy" / "bench.py").write_text("changed")
    second = sandbox.prepare(toy, "cpu")
    assert first.tag != second.tag
    assert first.path == second.path
    (root / "bench_toy" / "requirements" / "cpu.txt").write_text("x==1\n")
    assert sandbox.prepare(toy, "cpu").path != second.path


def test_what_is_compiled_for_a_cpu_is_not_used_on_another(root, cpu, toy):
    native = engine("toy", folder=toy.folder, devices={"cpu": DeviceEntry(SUPPORTED, "b", native=True)})
    assert make(root, cpu).prepare(native, "cpu").path != make(root, cpu, features="sse").prepare(native, "cpu").path
    assert make(root, cpu).prepare(toy, "cpu").path == make(root, cpu, features="sse").prepare(toy, "cpu").path


def test_a_failed_install_tells_its_last_lines_and_is_tried_again(sandbox, toy, root):
    script = root / "docker" / "install.sh"
    good = script.read_text()
    script.write_text('mkdir -p "$3/half"; seq 100; echo "no matching distribution" >&2; exit 1\n')
    with pytest.raises(CellError) as failed:
        sandbox.prepare(toy, "cpu")
    lines = failed.value.reason.splitlines()
    assert failed.value.outcome == "build_failed"
    assert lines[0].startswith("`sh docker/install.sh bench_toy cpu ")
    assert lines[0].endswith("` failed; the last lines were:")
    assert lines[-2:] == ["100", "no matching distribution"]
    assert len(lines) == 41
    script.write_text(good)
    assert not (sandbox.prepare(toy, "cpu").path / "half").exists()


def test_an_install_that_was_killed_is_begun_anew(sandbox, toy):
    path = sandbox.prepare(toy, "cpu").path
    (path / ".complete").unlink()
    (path / "half").touch()
    sandbox.prepare(toy, "cpu")
    assert not (path / "half").exists()


def test_the_site_s_indexes_reach_the_install_and_no_token_does(root, cpu, toy, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (root / "docker" / "install.sh").write_text('mkdir -p "$3"; env > "$3/environment"\n')
    path = make(root, cpu, Site(pip_index_url="http://index")).prepare(toy, "cpu").path
    seen = (path / "environment").read_text()
    assert "PIP_INDEX_URL=http://index" in seen
    assert "hf_secret" not in seen
