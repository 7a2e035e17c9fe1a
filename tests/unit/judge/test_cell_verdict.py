"""The word of a cell, of all its launches together: the engine's own benchmark can take an `ok` back."""

import pytest

from orchestrator.base.outcomes import Outcome
from orchestrator.judge.cell_verdict import judge_cell
from orchestrator.judge.gates.names import NAMES
from orchestrator.judge.own_speed import OwnComparison, SpeedPair, compare_with_own

PASSED = [dict.fromkeys(NAMES, "pass")] * 5
FAIL = "fail: 0.800 [0.790, 0.810] of the engine's own benchmark, 5 % are allowed"


def pairs(ratio, step_s=0.05, count=5, weight_bytes=1000):
    """Launches at `ratio` times the speed that the engine's own benchmark gives, with prefill at the same speed."""
    return [SpeedPair((ratio / step_s, 100.0), (1 / step_s, 100.0), weight_bytes, None) for _ in range(count)]


def own(verdict):
    return OwnComparison(None, None, verdict)


def test_without_an_own_benchmark_the_launches_have_the_last_word():
    verdict = judge_cell(Outcome.OOM_HOST, "killed", PASSED, None)
    assert (verdict.outcome, verdict.reason) == (Outcome.OOM_HOST, "killed")
    assert verdict.gates == dict.fromkeys(NAMES, "pass")


def test_an_own_benchmark_that_is_shown_to_be_faster_makes_an_ok_cell_invalid():
    verdict = judge_cell(Outcome.OK, None, PASSED, own(FAIL))
    assert (verdict.outcome, verdict.reason) == (
        Outcome.INVALID_OUTPUT,
        f"gate self_calibration: {FAIL.removeprefix('fail: ')}",
    )
    assert verdict.gates["self_calibration"] == FAIL and verdict.gates["physics"] == "pass"


def test_a_cell_that_failed_keeps_its_word():
    assert judge_cell(Outcome.LOAD_FAILED, "bad", [], own(FAIL)).outcome is Outcome.LOAD_FAILED


@pytest.mark.parametrize(
    ("delays", "word", "expected"),
    [
        ("pass", "pass", "pass"),
        ("pass", "not checked: too short", "pass (known delays; too short)"),
        ("not checked: no delays", "pass", "not checked: no delays"),
        ("fail: 11 ms", "pass", "fail: 11 ms"),
    ],
)
def test_known_delays_come_before_the_own_benchmark(delays, word, expected):
    gates = [{**PASSED[0], "self_calibration": delays}]
    assert judge_cell(Outcome.OK, None, gates, own(word)).gates["self_calibration"] == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pass", "fail: late", "not checked: why"], "fail: late"),
        (["not checked: why", "pass"], "pass"),
        (["not checked: why"], "not checked: why"),
        ([], "not checked: no launch came so far"),
    ],
)
def test_a_failure_of_one_launch_is_the_gate_s_word(words, expected):
    verdict = judge_cell(Outcome.OK, None, [{"physics": word} for word in words], None)
    assert verdict.gates["physics"] == expected


def test_an_own_benchmark_that_was_never_run():
    assert compare_with_own([]) is None


def test_an_own_benchmark_that_gave_no_speed_says_why():
    silent = SpeedPair((20.0, 100.0), None, 1000, "exit code 3")
    assert compare_with_own([silent]) == OwnComparison(None, None, "not checked: exit code 3")


@pytest.mark.parametrize(("ratio", "word"), [(0.99, "pass"), (0.8, "fail: 0.800 [0.800, 0.800]"), (1.2, "fail: 1.200")])
def test_our_speed_over_the_engine_s_own(ratio, word):
    compared = compare_with_own(pairs(ratio))
    assert compared.verdict.startswith(word)
    assert (compared.decode.median, compared.prefill.median) == (pytest.approx(ratio), 1.0)


def test_a_large_artefact_has_the_smaller_tolerance():
    assert compare_with_own(pairs(0.96)).verdict == "pass"
    assert compare_with_own(pairs(0.96, weight_bytes=10**9)).verdict.startswith("fail")
