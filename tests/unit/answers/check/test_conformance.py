"""What `check` asks of a folder, as far as no engine has to run for it."""

import pytest

from orchestrator.answers.check.conformance import render
from orchestrator.answers.check.finding import Finding
from orchestrator.answers.check.launching import LENGTHS, prompts_for
from orchestrator.answers.check.model_families import most_precise
from orchestrator.plan.engine import Support
from tests.support.checkpoints import checkpoint, model
from tests.support.contenders import engine, variant


@pytest.mark.parametrize(
    ("word", "passed", "detail"),
    [
        ("pass", True, ""),
        ("fail: at step 3: a token", False, "at step 3: a token"),
        ("not checked: no reference", None, "no reference"),
    ],
)
def test_a_gates_word_becomes_a_finding(word, passed, detail):
    assert Finding.of_gate("it agrees", word) == Finding("it agrees", passed, detail)


def test_what_does_not_apply_is_no_failure():
    lines = render(engine(), [Finding("a", True), Finding("b", None, "why")]).splitlines()
    assert lines[1:] == ["pass  a", "n/a   b: why", "all checks passed"]
    assert render(engine(), [Finding("a", False, "this")]).endswith("FAIL  a: this\n1 of 1 checks failed")


def test_architectures_are_tried_with_the_most_precise_variant_that_runs():
    lacking = {"cpu": Support("unsupported", "no kernels")}
    variants = [
        variant("q8", precision="int8"), variant("half", precision="float16", devices=lacking),
        variant("brain-compiled", precision="bfloat16", default=False), variant("brain", precision="bfloat16"),
    ]  # fmt: skip
    assert most_precise(engine(variants=variants), "cpu").name == "brain"
    assert most_precise(engine(variants=variants[1:2]), "cpu") is None


def test_prompts_are_eight_of_which_half_are_ragged(tmp_path):
    made = prompts_for(model(checkpoint(tmp_path / "m", tokenizer=True)))
    assert [len(ids) for ids in made] == list(LENGTHS)
    assert len(set(LENGTHS[:4])) == 1 and len(set(LENGTHS[4:])) == 4
    assert len({tuple(ids) for ids in made}) == 8
