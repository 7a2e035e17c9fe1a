"""Gates agreement and self_calibration, and the figures of quality they rest on."""

import numpy as np
import pytest

from orchestrator.judge import quality
from orchestrator.judge.gates import agreement, delays
from orchestrator.judge.quality import BadLogprobs

KNOWN = {"first token": 0.050, "step": 0.010}


def log_softmax(values):
    values = np.asarray(values, np.float64)
    values = values - values.max(axis=1, keepdims=True)
    return (values - np.log(np.exp(values).sum(axis=1, keepdims=True))).astype(np.float32)


def test_quality_by_hand():
    """Two positions over three tokens: p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4), then p = q."""
    p = np.log(np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], np.float32))
    q = np.log(np.array([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]], np.float32))
    found = quality.compare([p], [q], [[2, 0, 0]], is_text=True)
    assert found["tokens"] == 2
    assert found["kl"] == pytest.approx(0.25 * np.log(2) / 2, rel=1e-5)
    assert found["kl_p99"] == pytest.approx(0.25 * np.log(2), rel=1e-5)
    assert found["top1"] == 0.5
    assert found["perplexity"] == pytest.approx(np.exp(-(np.log(0.25) + np.log(0.5)) / 2), rel=1e-5)
    assert found["reference_perplexity"] == pytest.approx(2, rel=1e-5)


def test_random_ids_have_no_perplexity():
    p = log_softmax(np.zeros((2, 3)))
    found = quality.compare([p], [p], [[0, 1, 2]], is_text=False)
    assert (found["perplexity"], found["reference_perplexity"], found["kl"], found["top1"]) == (None, None, 0.0, 1.0)


@pytest.mark.parametrize("bad", [np.full((2, 3), np.nan), np.zeros((2, 3)), np.full((2, 3), -np.inf)])
def test_what_is_no_distribution_is_refused(bad):
    good = log_softmax(np.zeros((2, 3)))
    with pytest.raises(BadLogprobs, match="position 0"):
        quality.compare([good], [bad.astype(np.float32)], [[0, 1, 2]], is_text=True)


def test_files_of_log_probabilities(tmp_path):
    path = tmp_path / "logprobs-0.npy"
    np.save(path, np.zeros((3, 6), np.float32))
    assert quality.read_logprobs(path, 3, 4).shape == (3, 4)  # a padded vocabulary is cut
    for rows, vocabulary in ((2, 4), (3, 7)):
        with pytest.raises(BadLogprobs, match=r"logprobs-0\.npy holds float32"):
            quality.read_logprobs(path, rows, vocabulary)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadLogprobs, match=r"logprobs-0\.npy"):
        quality.read_logprobs(path, 1, 1)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadLogprobs, match="missing"):
        quality.read_logprobs(path, 1, 1)


def test_greedy_match_ends_at_the_first_difference():
    assert quality.greedy_match([[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 9, 4], [5, 6, 7, 8]]) == 0.75


def agree(precision, generated, gap=0.0, kl=0.0):
    return agreement.agreement(precision, [[1, 2, 3]], [generated], lambda *_: gap, {"kl": kl})


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_the_same_tokens_and_log_probabilities_agree(precision):
    assert agree(precision, [1, 2, 3]) == "pass"


@pytest.mark.parametrize(("precision", "gap", "word"), [
    ("float32", 0.01, "pass"), ("float32", 0.05, "fail"), ("float16", 0.05, "pass"), ("float16", 0.2, "fail"),
    ("bfloat16", 0.4, "pass"), ("bfloat16", 2.0, "fail"),
])  # fmt: skip
def test_another_token_must_be_a_near_tie(precision, gap, word):
    assert agree(precision, [1, 9, 9], gap).startswith(word)


def test_only_the_first_difference_is_judged():
    asked = []

    def gap(*where):
        asked.append(where)
        return 0.0

    assert agreement.agreement("float32", [[1, 2, 3], [4, 5, 6]], [[1, 8, 9], [4, 5, 7]], gap, None) == "pass"
    assert asked == [(0, 1, 8), (1, 2, 7)]


@pytest.mark.parametrize(("precision", "kl", "word"), [
    ("float32", 1e-6, "pass"), ("float32", 1e-4, "fail"), ("float16", 1e-4, "pass"), ("bfloat16", 0.5, "fail"),
])  # fmt: skip
def test_log_probabilities_must_agree(precision, kl, word):
    assert agree(precision, [1, 2, 3], kl=kl).startswith(word)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_quantised_variants_are_not_held_to_it(precision):
    assert agree(precision, [9, 9, 9], 9.0, 9.0).startswith("not checked: a quantised variant")


@pytest.mark.parametrize(("measured", "word"), [
    ({"first token": 0.0502, "step": 0.01005}, "pass"), ({"first token": 0.050, "step": 0.0102}, "fail"),
    ({"first token": 0.052, "step": 0.010}, "fail"), ({"first token": 0.050, "step": 0.0098}, "fail"),
])  # fmt: skip
def test_known_delays(measured, word):
    assert delays.calibration(KNOWN, measured).startswith(word)


def test_the_delay_is_named():
    told = delays.calibration(KNOWN, {"first token": 0.050, "step": 0.011})
    assert told == "fail: a step of 10 ms was read back as 11 ms"


@pytest.mark.parametrize(("ratios", "size", "step_s", "word"), [
    ([0.99, 1.0, 1.0, 1.01, 0.98], 2 * 10**9, 0.05, "pass"),
    ([0.9, 0.91, 0.9, 0.92, 0.9], 2 * 10**9, 0.05, "fail"),
    ([1.1, 1.1, 1.1, 1.2, 1.1], 2 * 10**9, 0.05, "fail"),
    ([0.9, 0.91, 0.9, 0.92, 1.0], 2 * 10**9, 0.05, "not checked"),  # the interval reaches into the tolerance
    ([0.9, 0.9], 2 * 10**9, 0.05, "not checked"),  # no interval
    ([0.96] * 5, 2 * 10**9, 0.05, "fail"),
    ([0.96] * 5, 2 * 10**8, 0.05, "pass"),  # 5 % below 1 GB
    ([0.5] * 5, 2 * 10**8, 0.001, "not checked"),  # a fixed cost is all of it
    ([], 2 * 10**9, 0.05, "not checked"),
])  # fmt: skip
def test_the_engine_s_own_benchmark(ratios, size, step_s, word):
    assert delays.own_benchmark(ratios, size, step_s).startswith(word)
