"""Which engines the container tests take, and what lets them leave one out."""

from types import SimpleNamespace

import pytest

from orchestrator.plan.engine_yaml import discover
from tests.support import engine_choice
from tests.support.checkout import ROOT, Checkout
from tests.support.contenders import engine

CONTENTS = {name: f"content of {name}" for name in ("first", "a", "b", "c", "d", "e")}
ENGINES = [engine("first", by_default=True), *(engine(name) for name in "abcde")]
CHECKED = {name: {"content": text, "date": "2026-01-02", "result": "passed"} for name, text in CONTENTS.items()}


def test_what_was_never_checked_is_taken():
    choice = engine_choice.choose(ENGINES, CONTENTS, {}, day=0)
    assert list(choice.taken) == list(CONTENTS) and choice.left_out == {}


def test_what_changed_is_taken_and_the_rest_take_turns():
    record = CHECKED | {"c": CHECKED["c"] | {"content": "older"}}
    turns = []
    for day in range(4):
        choice = engine_choice.choose(ENGINES, CONTENTS, record, day)
        assert choice.taken["first"] == "as always" and "older" in choice.taken["c"]
        turns.append(sorted(set(choice.taken) - {"first", "c"}))
        assert set(choice.left_out) == set("abde") - set(turns[-1])
        assert all("2026-01-02" in why for why in choice.left_out.values())
    assert turns == [["a", "b"], ["d", "e"], ["a", "b"], ["d", "e"]]


def test_every_engine_has_its_turn():
    taken = [set(engine_choice.choose(ENGINES, CONTENTS, CHECKED, day).taken) for day in range(5)]
    assert all(len(names) == 1 + engine_choice.TURNS for names in taken)
    assert set.union(*taken) == set(CONTENTS)


def test_few_engines_are_all_taken():
    assert engine_choice.choose(ENGINES[:2], CONTENTS, CHECKED, day=7).left_out == {}


def test_all_leaves_none_out():
    choice = engine_choice.current("all")
    assert set(choice.taken) == {name for name, each in discover().items() if not each.test_only}
    assert choice.left_out == {}


@pytest.mark.parametrize("name", ["bench_dummy/engine.yaml", "bench_dummy/pace.py", "common/timing.py",
                                  "docker/base.Dockerfile", "docker/install.sh"])  # fmt: skip
def test_the_content_is_that_of_folder_contract_and_base(tmp_path, name):
    checkout = Checkout(tmp_path / "suite")
    dummy = discover(checkout.path)["dummy"]
    before = engine_choice.content(dummy, checkout.path)
    assert before == engine_choice.content(discover(ROOT)["dummy"])
    path = checkout.path / name
    path.write_text(path.read_text() + "\n# changed\n")
    assert engine_choice.content(dummy, checkout.path) != before


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A recorder that was told of two tests of bench_pytorch, and a record of its own."""
    monkeypatch.setattr(engine_choice, "RECORD", tmp_path / "checked.yaml")
    engine_choice.RECORD.write_text("{}")
    recorder = engine_choice.Recorder()
    path = ROOT / "tests" / "container" / recorder.FILE
    items = [SimpleNamespace(path=path, callspec=SimpleNamespace(params={"engine": "pytorch"}))] * 2
    recorder.pytest_collection_finish(SimpleNamespace(items=items))
    return recorder


def report(**changes):
    fields = {"nodeid": "tests/container/test_real_engines.py::test_x[pytorch]", "when": "call", "passed": True,
              "user_properties": [("result", "measured float32")]}  # fmt: skip
    return SimpleNamespace(**fields | changes)


def test_an_engine_whose_every_test_passed_is_recorded(session):
    session.pytest_runtest_logreport(report())
    session.pytest_runtest_logreport(report(user_properties=[("result", "all checks passed")]))
    session.pytest_sessionfinish()
    entry = engine_choice.read_record()["pytorch"]
    assert entry["content"] == engine_choice.content(discover()["pytorch"])
    assert entry["result"] == "measured float32; all checks passed"
    assert engine_choice.RECORD.read_text().startswith("# The last whole check")


@pytest.mark.parametrize("second", [report(passed=False), report(when="setup"), report(nodeid="another.py::test_y")])
def test_an_engine_with_a_test_that_failed_or_did_not_run_is_not_recorded(session, second):
    session.pytest_runtest_logreport(report())
    session.pytest_runtest_logreport(second)
    session.pytest_sessionfinish()
    assert engine_choice.read_record() == {}
