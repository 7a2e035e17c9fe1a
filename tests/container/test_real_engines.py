"""The real engines, built and run: their contract, and that two engines agree on the same float32 model."""

import json

import pytest

from orchestrator.plan import engine_yaml
from orchestrator.plan.engine import PRECISIONS
from tests.support.checkout import ROOT, Checkout

pytestmark = pytest.mark.container

FOLDERS = {name: engine for name, engine in engine_yaml.discover(ROOT).items() if not engine.test_only}
REAL = [name for name, engine in FOLDERS.items() if engine.devices["cpu"].support.runs]
REFERENCE = next(name for name, engine in FOLDERS.items() if engine.reference)


@pytest.fixture(scope="module")
def run(tmp_path_factory, daemon):
    """The newcomer's run, with few tokens: all engines, their default variants, the bundled model."""
    checkout = Checkout(tmp_path_factory.mktemp("real") / "suite", engines=REAL)
    (checkout.path / "results").mkdir()
    return checkout.measure("--engines", ",".join(REAL), "--precisions", "all", "--new-tokens", "32", timeout=4500)


def test_every_cell_of_every_engine_is_measured(run):
    done, summary, _ = run
    failed = {
        (row["engine"], row["variant"]): row["reason"]
        for row in summary["rows"]
        if row["outcome"] not in ("ok", "unsupported")
    }
    assert failed == {} and done.returncode == 0
    assert {row["engine"] for row in summary["rows"] if row["outcome"] == "ok"} == set(REAL)


def test_rows_say_what_was_loaded(run):
    _, summary, _ = run
    for row in summary["rows"]:
        if row["outcome"] != "ok":
            continue
        assert row["gates"]["precision"] == "pass" and row["gates"]["tokens"] == "pass", row["variant"]
        assert row["decode_tps"]["median"] > 0 and row["ttft_s"]["median"] > 0
        assert 0 < row["weights_mib"] < row["peak_host_mib"] + row["peak_mapped_file_mib"], row["variant"]
        assert row["threads"] == summary["run"]["threads"], row["variant"]


def test_engines_agree_at_float32(run):
    """Greedy tokens of one prompt, from every engine's float32 launch: independent code, the same answer."""
    _, summary, out = run
    answers = {}
    for row in summary["rows"]:
        if row["outcome"] == "ok" and row["precision"] == "float32":
            samples = (out / row["reproduce"]).parent / "out" / "samples.jsonl"
            first = json.loads(samples.read_text().splitlines()[0])
            answers[row["engine"], row["variant"]] = first["ids"]
    assert len(answers) >= 2
    assert len({json.dumps(ids) for ids in answers.values()}) == 1, answers


def most_precise(name):
    """The most precise default variant: the run above has them all, and each takes a check minutes."""
    folder = FOLDERS[name]
    rank = {each.name: PRECISIONS.index(each.precision) for each in folder.variants.values()
            if each.default and folder.support(each, "cpu").runs}  # fmt: skip
    return min(rank, key=rank.get, default="default")


@pytest.mark.parametrize("engine", FOLDERS)
def test_the_folder_keeps_the_contract(engine, tmp_path, daemon):
    checkout = Checkout(tmp_path / "suite", engines=sorted({engine, REFERENCE}))
    done = checkout.run("check", engine, "--device", "cpu", "--variants", most_precise(engine), timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
