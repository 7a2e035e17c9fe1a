"""Engines are prepared side by side, but those that share their software one after another."""

import threading
from types import SimpleNamespace

import pytest

from orchestrator.base.errors import CellError
from orchestrator.sandbox.prepare import prepare_all
from tests.support.contenders import engine


def test_what_shares_software_is_built_once_and_then_found(tmp_path):
    first = engine("zeta", folder=tmp_path / "bench_zeta")
    second = engine("alpha", folder=tmp_path / "bench_alpha", builds_on=first.folder)
    other = engine("other", folder=tmp_path / "bench_other")
    began, ended, together = [], [], threading.Barrier(2, timeout=10)

    def prepare(each, kind):
        began.append(each.name)
        if each.name in ("zeta", "other"):
            together.wait()  # these two do run side by side
        if each.name == "alpha":
            assert "zeta" in ended
        ended.append(each.name)
        return f"{each.name} on {kind}"

    found = prepare_all(SimpleNamespace(prepare=prepare), [(each, "cpu") for each in (second, other, first)])
    assert found == {name: f"{name} on cpu" for name in ("alpha", "other", "zeta")}
    assert sorted(began) == ["alpha", "other", "zeta"]


def test_the_longest_list_of_packages_is_begun_first(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.sandbox.prepare.WORKERS", 1)
    made, began = [], []
    for name, lines in (("few", 2), ("none", None), ("many", 9)):
        lock = tmp_path / f"bench_{name}" / "requirements" / "cpu.txt"
        lock.parent.mkdir(parents=True)
        if lines:
            lock.write_text("package==1\n" * lines)
        made.append((engine(name, folder=lock.parents[1]), "cpu"))
    prepare_all(SimpleNamespace(prepare=lambda each, kind: began.append(each.name)), made)
    assert began == ["many", "few", "none"]


def test_a_failure_ends_neither_the_others_nor_what_builds_on_it(tmp_path):
    first = engine("zeta", folder=tmp_path / "bench_zeta")
    second = engine("alpha", folder=tmp_path / "bench_alpha", builds_on=first.folder)

    def prepare(each, kind):
        if each is first:
            raise CellError("build_failed", "no compiler")
        return kind

    found = prepare_all(SimpleNamespace(prepare=prepare), [(first, "cpu"), (second, "cpu")])
    assert found["zeta"].outcome == "build_failed"
    assert found["alpha"] == "cpu"


def test_what_is_no_cell_s_failure_is_raised(tmp_path):
    def prepare(each, kind):
        raise RuntimeError("a defect of the suite")

    with pytest.raises(RuntimeError, match="a defect"):
        prepare_all(SimpleNamespace(prepare=prepare), [(engine("zeta", folder=tmp_path), "cpu")])
