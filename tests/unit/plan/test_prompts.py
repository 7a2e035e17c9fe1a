"""Prompts: exactly as long as asked for, never the same twice in a launch, the same in every run."""

import pytest

from orchestrator.base.errors import UserError
from orchestrator.plan import prompts
from tests.support.checkpoints import checkpoint, model


@pytest.fixture(params=["text", "random"])
def anything(request, tmp_path):
    return model(checkpoint(tmp_path / "m", {"vocab_size": 96}, tokenizer=request.param == "text"))


@pytest.fixture
def texts(tmp_path):
    return model(checkpoint(tmp_path / "m", {"vocab_size": 96}, tokenizer=True))


@pytest.fixture
def random(tmp_path):
    return model(checkpoint(tmp_path / "m"))


@pytest.mark.parametrize("length", [4, 33, 128, 5000])
def test_length_is_exact(anything, length):
    made = prompts.make(anything, 4, 2, length)
    assert [[len(row) for row in batch] for batch in made] == [[length] * 2] * 4


@pytest.mark.parametrize("length", [4, 128])
def test_no_two_rows_of_a_launch_are_alike(anything, length):
    rows = [tuple(row) for batch in prompts.make(anything, 15, 8, length) for row in batch]
    assert len(set(rows)) == 15 * 8  # three times as many as there are questions


def test_prompts_differ_within_their_first_tokens(texts):
    heads = [tuple(batch[0][:4]) for batch in prompts.make(texts, 60, 1, 64)]
    assert len(set(heads)) == 60  # a cache of prefixes finds nothing to keep


def test_every_run_gets_the_same(anything):
    assert prompts.make(anything, 5, 2, 64) == prompts.make(anything, 5, 2, 64)


def test_more_iterations_begin_with_the_same_prompts(anything):
    assert prompts.make(anything, 15, 2, 64)[:13] == prompts.make(anything, 13, 2, 64)


def test_random_ids_are_ordinary_tokens_of_the_vocabulary(random):
    ids = {token for batch in prompts.make(random, 20, 2, 64) for row in batch for token in row}
    assert min(ids) == prompts.FIRST_ORDINARY_ID
    assert max(ids) == random.config["vocab_size"] - 1
    assert len(ids) == random.config["vocab_size"] - prompts.FIRST_ORDINARY_ID


def test_the_random_ids_are_pinned(random):
    """Other ids, from another numpy or another seed, are another workload."""
    assert prompts.make(random, 1, 1, 8) == [[[54, 41, 34, 19, 21, 5, 7, 4]]]


def test_the_prompts_are_questions(texts):
    from tokenizers import Tokenizer  # noqa: PLC0415 - only this test decodes

    tokenizer = Tokenizer.from_file(str(texts.path / "tokenizer.json"))
    vocabulary = {number: text for text, number in tokenizer.get_vocab().items()}
    first, second = prompts.QUESTIONS.read_text(encoding="utf-8").splitlines()[:2]
    made = prompts.make(texts, 2, 1, 70)
    assert "".join(vocabulary[token] for token in made[0][0]).startswith(f"1. {first}")
    assert "".join(vocabulary[token] for token in made[1][0]).startswith(f"2. {second}")


# -- --prompt ----------------------------------------------------------------------------------------------------------


def test_a_text_of_one_s_own_is_every_prompt(texts):
    made = prompts.make(texts, 3, 2, 128, text="Why?")
    ids = made[0][0]
    assert len(ids) == 4
    assert made == [[ids, ids]] * 3


def test_a_long_text_is_cut(texts):
    whole = prompts.make(texts, 1, 1, 128, text="Why is the sky blue?")[0][0]
    assert prompts.make(texts, 1, 1, 5, text="Why is the sky blue?")[0][0] == whole[:5]


def test_a_text_needs_a_tokenizer(random):
    with pytest.raises(UserError, match="--prompt needs a tokenizer, and m has none; leave --prompt away"):
        prompts.make(random, 1, 1, 8, text="Why?")


def test_an_empty_text_is_refused(texts):
    with pytest.raises(UserError, match="--prompt is empty"):
        prompts.make(texts, 1, 1, 8, text="")


# -- workload hash -----------------------------------------------------------------------------------------------------


def test_the_workload_changes_with_model_prompts_and_new_tokens(texts):
    ids = prompts.make(texts, 3, 1, 16)
    one = prompts.workload_hash(texts, 8, ids)
    assert len(one) == 12
    assert int(one, 16) >= 0
    other_model = model(texts.path, digest="e" * 64)
    other_ids = [[[*ids[0][0][:-1], ids[0][0][-1] + 1]], *ids[1:]]
    others = {
        prompts.workload_hash(other_model, 8, ids), prompts.workload_hash(texts, 9, ids),
        prompts.workload_hash(texts, 8, other_ids),
    }  # fmt: skip
    assert len({one, *others}) == 4


def test_the_workload_is_the_same_under_another_name_and_place(texts, tmp_path):
    ids = prompts.make(texts, 3, 1, 16)
    moved = model(checkpoint(tmp_path / "elsewhere", tokenizer=True), name="other")
    assert prompts.workload_hash(texts, 8, ids) == prompts.workload_hash(moved, 8, ids)
