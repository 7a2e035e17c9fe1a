"""The words that end a cell, and those that stand beside its figures: each explains itself, everywhere the same."""

import ast
import json
from pathlib import Path

import pytest

from orchestrator.base.outcomes import FLAGS, OUTCOMES, Cause, Flag, Outcome, exit_code, known_flags

ORCHESTRATOR = Path(__file__).parents[3] / "orchestrator"


@pytest.mark.parametrize("word", [*Outcome, *Flag])
def test_every_word_says_what_it_means_and_what_to_do(word):
    for text in (word.sentence, word.remedy):
        assert len(text) > 5 and text == text.strip() and not text.endswith(".") and "\n" not in text
    assert word.sentence != word.remedy


@pytest.mark.parametrize("word", [*Outcome, *Flag])
def test_a_word_is_its_text(word):
    assert word == word.value and f"{word}" == str(word) == word.value and json.dumps([word]) == f'["{word.value}"]'


def test_the_words_of_published_results_stay():
    """A word that vanished could no longer be read."""
    assert set(OUTCOMES) >= {
        *("ok", "unsupported", "build_failed", "fetch_failed", "convert_failed", "load_failed", "engine_error"),
        *("oom_gpu", "oom_host", "oom_suspected", "timeout_wall", "timeout_hung", "gpu_lost", "gpu_contended"),
        *("invalid_output", "no_result", "disk_full", "interrupted", "harness_error"),
    }
    assert set(FLAGS) >= {
        *("not_a_measurement", "synthetic_weights", "noisy_host", "bandwidth_moved", "not_steady", "slow_first"),
        *("drift", "above_peak", "throttled", "power_capped", "gpu_lost", "device_shared", "not_streamed"),
        *("cache_resident", "ready_made", "unverified", "monitor_slowed", "monitor_hung", "caveat"),
    }


def test_what_outcomes_imply():
    def words(name):
        return {outcome.value for outcome in Outcome if getattr(outcome, name)}

    assert set(OUTCOMES) - words("is_failure") == {"ok", "unsupported"}
    assert words("is_out_of_memory") == {"oom_gpu", "oom_host", "oom_suspected"}
    assert set(OUTCOMES) - words("is_loss") == {
        *("ok", "unsupported", "fetch_failed", "gpu_lost", "gpu_contended", "disk_full", "interrupted"),
        "harness_error",
    }
    assert words("stops_cell") - words("is_loss") == {"unsupported", "disk_full"}
    assert {outcome.cause for outcome in Outcome} == set(Cause)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ok", "unsupported"], 0),
        ([], 0),
        (["ok", "oom_gpu"], 1),
        (["oom_gpu", "interrupted", "ok"], 130),
    ],
)
def test_exit_code(words, code):
    assert exit_code(words) == code


def test_flags_of_another_version_are_left_out():
    assert known_flags(["drift", "of_tomorrow", "caveat"]) == [Flag.DRIFT, Flag.CAVEAT]


@pytest.mark.parametrize("package", ["machine", "judge", "results", "run"])
def test_no_flag_is_set_as_a_plain_text(package):
    """A misspelt text would be a flag without an explanation; a misspelt member is an error."""
    elsewhere = {"gpu_lost", "caveat", "drift", "ready_made", "cache_resident"}  # an outcome, and keys of records
    literals = {
        (file.name, node.value)
        for file in (ORCHESTRATOR / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in FLAGS.keys() - elsewhere
    }
    assert literals == set()
