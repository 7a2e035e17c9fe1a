"""The support matrix is what the engine.yaml files say; test_documents.py holds the pages to it."""

import re

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.models.synthetic import shapes
from orchestrator.plan import engine_yaml
from orchestrator.plan.engine import DeviceEntry, Support
from orchestrator.report.tables import support_matrix
from tests.support.contenders import engine


def real():
    return [engine for engine in engine_yaml.discover().values() if not engine.test_only]


def test_every_device_that_runs_says_where_it_was_verified_or_that_it_was_not():
    for each in real():
        for kind, entry in each.devices.items():
            if entry.support.runs:
                assert entry.verified is not True, f"{each.name}: devices.{kind}.verified is missing"
                if entry.verified:
                    file = re.split(", ", entry.verified)[-1]
                    assert (ROOT / file).exists(), f"{each.name}: devices.{kind}.verified names {file}"


@pytest.mark.parametrize(("verified", "cell", "note"), [
    ("2026-11-20, one machine, results/a.md", "2026-11-20 [1]", "2026-11-20, one machine, results/a.md"),
    (False, "unverified [1]", "complete, but no author has run it on this kind of device yet"),
])  # fmt: skip
def test_the_matrix_tells_what_was_verified_from_what_was_not(verified, cell, note):
    made = engine(devices={"cpu": DeviceEntry(Support("supported"), "base", verified=verified)})
    data, notes = support_matrix.frame([made], "cpu")
    assert data["Verified"].tolist() == [cell]
    assert notes == [note]
    assert support_matrix.frame([made], "cuda")[0]["Verified"].tolist() == ["-"]


def test_architectures_are_shown_as_the_folder_states_them():
    told = {
        "llama": Support("supported"), "gemma": Support("unsupported", "no scaled embeddings", "https://example.org"),
        "mistral": Support("caveat", "no window"), "phi3": Support("wrong", "no scale"),
    }  # fmt: skip
    data, notes = support_matrix.architectures([engine(architectures=told)])
    row = data.iloc[0].to_dict()
    assert (row["llama"], row["mistral"], row["gemma"]) == ("yes", "yes, see note [1]", "no [2]")
    assert (row["phi3"], row["qwen2"]) == ("wrong [3]", "not checked")
    assert notes == ["no window", "no scaled embeddings (https://example.org)", "no scale"]


def test_architectures_are_named_as_models_name_them():
    known = {name.removeprefix("arch-") for name in shapes.architectures()}
    assert all(set(each.architectures) <= known for each in real())
