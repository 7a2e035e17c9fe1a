"""When pip is told of an engine's own package index, and when a build cannot be had without it."""

import io

import pytest

from orchestrator.base.errors import CellError
from orchestrator.machine.site import Site
from orchestrator.plan.engine import DeviceEntry
from orchestrator.sandbox import package_index
from tests.support.contenders import SUPPORTED, engine

UP, DOWN = "https://up.example/whl", "https://down.example/whl"
PLAIN, BUILD = "torch==2.13.0\n", "numpy==2.5.5\ntorch==2.13.0+rocm7.2\n"


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """(what pip is told, what the user is told) for an index, a lock and a site."""

    def answer(request, timeout):
        if request.full_url == DOWN:
            raise OSError("no route")
        return io.BytesIO()

    monkeypatch.setattr(package_index.urllib.request, "urlopen", answer)
    (tmp_path / "requirements").mkdir()

    def run(url, lock=PLAIN, **site):
        (tmp_path / "requirements" / "rocm.txt").write_text(lock)
        made = engine(folder=tmp_path, devices={"rocm": DeviceEntry(SUPPORTED, "base", extra_index_url=url)})
        said = []
        return package_index.further_indexes(made, "rocm", Site(**site), said.append), said

    return run


def test_an_index_is_used_if_it_answers_beside_the_sites_own(ask):
    assert ask(UP) == (UP, [])
    assert ask(UP, pip_extra_index_url="https://site.example") == (f"https://site.example {UP}", [])
    assert ask(None) == (None, [])


def test_without_an_answer_pip_takes_what_its_default_index_has(ask):
    told, said = ask(DOWN)
    assert told is None
    assert said == [f"package index {DOWN} is not reachable (no route): pip takes its default index's builds"]


def test_a_wheelhouse_stands_in_for_the_index_unless_the_lock_names_one_of_its_builds(ask, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    assert ask(UP, wheelhouse=str(wheels)) == (None, [])
    assert ask(UP, BUILD, wheelhouse=str(wheels)) == (UP, [])


def test_a_build_that_only_the_index_has_is_missed_in_one_line_before_anything_is_built(ask, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with pytest.raises(CellError, match=r"pins torch==2.13.0\+rocm7.2, .* \(no route\)") as failed:
        ask(DOWN, BUILD, wheelhouse=str(wheels))
    assert failed.value.outcome == "build_failed" and "\n" not in failed.value.reason
    (wheels / "torch-2.13.0+rocm7.2-cp312-cp312-manylinux_2_28_x86_64.whl").touch()
    assert ask(DOWN, BUILD, wheelhouse=str(wheels))[0] is None
