"""A converted artefact is made anew when anything that decided its bytes has changed, and only then."""

from types import SimpleNamespace

import pytest

from orchestrator.plan.engine import DeviceEntry, Support
from orchestrator.run import convert
from tests.support.contenders import engine, variant


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "bench_mine"
    (made / "requirements").mkdir(parents=True)
    (made / "src").mkdir()
    for name in ("convert.py", "bench.py", "README.md", "requirements/cpu.txt", "requirements/cuda.txt", "src/a.rs"):
        (made / name).write_text(name)
    return made


def key(folder, native=False, made_for="avx2", kind="cpu"):
    devices = {kind: DeviceEntry(Support("supported"), "debian:bookworm-slim", native=native)}
    mine = engine("mine", [variant(artefact="q8")], folder=folder, devices=devices)
    return convert.key(mine, kind, mine.variants["float32"], SimpleNamespace(digest="d"), made_for)


@pytest.mark.parametrize("name", ["convert.py", "requirements/cpu.txt", "src/a.rs", "patch.diff"])
def test_what_the_converter_is_made_of_counts(folder, name):
    before = key(folder)
    (folder / name).write_text("another")
    assert key(folder) != before


@pytest.mark.parametrize(
    "name", ["bench.py", "loaded.py", "README.md", "requirements/cuda.txt", "__pycache__/convert.pyc"]
)
def test_what_only_a_launch_needs_does_not_count(folder, name):
    before = key(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("another")
    assert key(folder) == before


def test_the_machine_counts_where_code_is_native(folder):
    assert key(folder, made_for="avx2") == key(folder, made_for="avx512")
    assert key(folder, True, "avx2") != key(folder, True, "avx512")
