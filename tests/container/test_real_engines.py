"""The real engines, built and run: their contract, and that two engines agree on the same float32 model.

Not every session takes every engine: see tests/support/engine_choice.py.
"""

import json

import pytest

from orchestrator.plan import engine_yaml
from orchestrator.plan.engine import PRECISIONS
from tests.support.checkout import ROOT, Checkout

pytestmark = pytest.mark.container

FOLDERS = {name: engine for name, engine in engine_yaml.discover(ROOT).items() if not engine.test_only}
REAL = [name for name, engine in FOLDERS.items() if engine.devices["cpu"].support.runs]
REFERENCE = next(name for name, engine in FOLDERS.items() if engine.reference)


@pytest.fixture
def engine(request, choice):
    """The name of an engine that this session takes; the tests of another one are skipped, and say why."""
    if request.param in choice.left_out:
        pytest.skip(f"{request.param} is left out: {choice.left_out[request.param]}")
    return request.param


@pytest.fixture(scope="module")
def run(tmp_path_factory, daemon, choice):
    """The newcomer's run, with few tokens: the engines of this session, their default variants, the bundled model."""
    taken = [name for name in REAL if name in choice.taken]
    if not taken:
        pytest.skip("none of the engines that this session takes runs on a CPU")
    checkout = Checkout(tmp_path_factory.mktemp("real") / "suite", engines=sorted({*taken, REFERENCE}))
    (checkout.path / "results").mkdir()
    return checkout.measure("--engines", ",".join(taken), "--precisions", "all", "--new-tokens", "32", timeout=4500)


@pytest.mark.parametrize("engine", REAL, indirect=True)
def test_every_cell_is_measured(engine, run, record_property):
    _, summary, _ = run
    outcomes = {row["variant"]: (row["outcome"], row["reason"]) for row in summary["rows"] if row["engine"] == engine}
    assert {variant: end for variant, end in outcomes.items() if end[0] not in ("ok", "unsupported")} == {}
    measured = [variant for variant, (outcome, _) in outcomes.items() if outcome == "ok"]
    assert measured
    record_property("result", f"measured {', '.join(measured)}")


def test_the_run_ends_well(run):
    done, _, _ = run
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", REAL, indirect=True)
def test_rows_say_what_was_loaded(engine, run):
    _, summary, _ = run
    for row in summary["rows"]:
        if row["outcome"] != "ok" or row["engine"] != engine:
            continue
        assert row["gates"]["precision"] == "pass" and row["gates"]["tokens"] == "pass", row["variant"]
        assert row["decode_tps"]["median"] > 0 and row["ttft_s"]["median"] > 0
        assert 0 < row["weights_mib"] < row["peak_host_mib"] + row["peak_mapped_file_mib"], row["variant"]
        assert row["threads"] == summary["run"]["threads"], row["variant"]


def test_engines_agree_at_float32(run):
    """Greedy tokens of one prompt, from every engine's float32 launch: independent code, the same answer."""
    _, summary, out = run
    if len({row["engine"] for row in summary["rows"] if row["outcome"] == "ok" and row["precision"] == "float32"}) < 2:
        pytest.skip("of the engines that this session takes fewer than two run in float32")
    answers = {}
    for row in summary["rows"]:
        if row["outcome"] == "ok" and row["precision"] == "float32":
            samples = (out / row["reproduce"]).parent / "out" / "samples.jsonl"
            first = json.loads(samples.read_text().splitlines()[0])
            answers[row["engine"], row["variant"]] = first["ids"]
    assert len({json.dumps(ids) for ids in answers.values()}) == 1, answers


def most_precise(name):
    """The most precise default variant: the run above has them all, and each takes a check minutes."""
    folder = FOLDERS[name]
    rank = {each.name: PRECISIONS.index(each.precision) for each in folder.variants.values()
            if each.default and folder.support(each, "cpu").runs}  # fmt: skip
    return min(rank, key=rank.get, default="default")


@pytest.mark.parametrize("engine", FOLDERS, indirect=True)
def test_the_folder_keeps_the_contract(engine, tmp_path, daemon, record_property):
    checkout = Checkout(tmp_path / "suite", engines=sorted({engine, REFERENCE}))
    done = checkout.run("check", engine, "--device", "cpu", "--variants", most_precise(engine), timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    record_property("result", done.stdout.strip().splitlines()[-1])
