"""Gates physics and cold_prefix; and which published cells the first would have caught."""

import pytest

from orchestrator.judge.gates import physics, prefix
from orchestrator.judge.gates.physics import Traffic
from orchestrator.judge.verdict import judge_launch
from tests.support.results_directory import CONTEXT, ended, job, launch, loaded, probe, result, sample

A100 = 2039e9  # bytes/s, the data sheet's figure for the 80 GB card
LLAMA, MISTRAL = 6_607_343_616, 7_110_660_096  # parameters that a step reads: all but the input embedding


def traffic(step_bytes, steps_per_s, *bandwidth, cache=None):
    return Traffic(step_bytes, steps_per_s, bandwidth, cache)


@pytest.mark.parametrize(("parameters", "bytes_each", "speed"), [
    (MISTRAL, 4, 84.91), (MISTRAL, 4, 117.04), (MISTRAL, 2, 206.59), (MISTRAL, 1, 390.49),
    (LLAMA, 4, 89.40), (LLAMA, 4, 104.07), (LLAMA, 2, 191.00), (LLAMA, 1, 316.77),
])  # fmt: skip
def test_the_impossible_published_cells_are_beyond_the_bandwidth(parameters, bytes_each, speed):
    assert traffic(parameters * bytes_each, speed, A100).mbu > 1


@pytest.mark.parametrize(("bytes_each", "speed"), [(2, 104.9), (1, 155.6), (0.5, 196.8)])
def test_gpt_fast_is_sound(bytes_each, speed):
    moved = traffic(LLAMA * bytes_each, speed, A100)
    assert 0.3 < moved.mbu < 0.7
    assert physics.physics(moved) == "pass"


def test_mbu_uses_the_better_probe_and_allows_for_their_difference():
    moved = traffic(1e9, 10, 5e9, 10e9)
    assert (moved.mbu, moved.error) == (1.0, 0.5)
    assert physics.physics(moved) == "pass"
    assert physics.physics(traffic(1e9, 15.1, 5e9, 10e9)).startswith("fail")


@pytest.mark.parametrize(("steps_per_s", "word"), [(10.49, "pass"), (10.51, "fail")])
def test_at_least_five_percent_of_error_are_allowed(steps_per_s, word):
    assert physics.physics(traffic(1e9, steps_per_s, 10e9, 10e9)).startswith(word)


def test_the_reason_names_the_figures():
    told = physics.physics(traffic(2e9, 100, 50e9, 50e9))
    assert told == "fail: 100 steps/s x 2000 MB are 400 % of the 50 GB/s that this device reads (measured within 5 %)"


def test_what_fits_in_the_cache_is_not_judged():
    moved = traffic(30e6, 1e6, 10e9, cache=32_000_000)
    assert moved.mbu is None and moved.cache_resident
    assert physics.physics(moved).startswith("not checked: cache_resident")
    assert not traffic(33e6, 1, 10e9, cache=32_000_000).cache_resident


def test_a_cacheful_may_come_from_the_step_before():
    near = traffic(42e6, 1000, 10e9, cache=32_000_000)  # at least 10 MB x 1000 /s come from memory
    assert near.mbu is None and physics.physics(near) == "pass"
    assert traffic(64e6, 100, 10e9, cache=32_000_000).mbu == 0.64
    assert physics.physics(traffic(42e6, 1100, 10e9, cache=32_000_000)).startswith(
        "fail: 1100 steps/s x 10 MB are 110 %"
    )


def test_unmeasured_bandwidth_and_speed_are_said():
    assert physics.physics(traffic(1e9, 10)) == "not checked: no bandwidth could be measured on this device"
    assert physics.physics(None).startswith("not checked: ")


def judged(tmp_path, gbs, **changes):
    """A launch of 1000 float32 parameters at 100 steps/s: 3.6 kB a step without the input embedding."""
    made = result(bandwidth={"before": probe(gbs), "after": probe(gbs)}, loaded=loaded(**changes))
    return judge_launch(ended(), launch(tmp_path / "launch", job(), made_result=made), job(), CONTEXT)


def test_impossible_speed_is_invalid_output_and_worth_another_try(tmp_path):
    verdict = judged(tmp_path, 1e-4)
    assert verdict.outcome == "invalid_output" and verdict.noisy
    assert verdict.reason.startswith("gate physics: 100 steps/s x 0.0036 MB are 360 % of the 0.0001 GB/s")


def test_possible_speed_passes(tmp_path):
    assert judged(tmp_path, 1.0).gates["physics"] == "pass"


def test_the_kv_cache_is_read_as_well(tmp_path):
    """2 x 1 layer x 2 heads x 4 x 2 bytes x (4 + 3 / 2) tokens = 176 bytes."""
    assert judged(tmp_path, 3.7e-4, kv_dtype="float16").outcome == "ok"  # 0.36 + 0.0176 MB/s of 0.37
    assert judged(tmp_path / "b", 3.5e-4, kv_dtype="float16").outcome == "invalid_output"  # 107.9 %
    assert judged(tmp_path / "c", 3.5e-4).outcome == "ok"  # 102.9 %


IMPOSSIBLE = "result.json holds a number that cannot have been measured"


@pytest.mark.parametrize(("bad", "reason"), [
    ({"before": 3}, "result.json: bandwidth.before: expected a mapping of keys to values"),
    ({"before": {"best_gbs": "fast"}}, "result.json: bandwidth.before.best_gbs: expected a number"),
    ([1], "result.json: bandwidth: expected a mapping of keys to values"),
    ("fast", "result.json: bandwidth: expected a mapping of keys to values"),
    ({"before": {"best_gbs": -1.0, "last_level_cache": None}}, IMPOSSIBLE),
    ({"before": {"best_gbs": 1.0, "last_level_cache": -5}}, IMPOSSIBLE),
])  # fmt: skip
def test_bad_probes_are_invalid_output(tmp_path, bad, reason):
    made = launch(tmp_path / "launch", job(), made_result=result(bandwidth=bad))
    verdict = judge_launch(ended(), made, job(), CONTEXT)
    assert (verdict.outcome, verdict.reason) == ("invalid_output", reason)


def test_a_device_without_a_probe_is_not_checked(tmp_path):
    made = launch(tmp_path / "launch", job(), made_result=result(bandwidth={"before": None, "after": None}))
    verdict = judge_launch(ended(), made, job(), CONTEXT)
    assert verdict.outcome == "ok" and "no bandwidth" in verdict.gates["physics"]


def pairs(*ratios):
    """Samples of pairs of one-token runs: fresh 10 ms, repeat `ratio` times that."""
    made = []
    for number, ratio in enumerate(ratios):
        made.append(sample(number, "fresh", steps_ns=[10_000_000]))
        made.append(sample(number, "repeat", steps_ns=[int(10_000_000 * ratio)]))
    return made


@pytest.mark.parametrize(("ratios", "word"), [
    ((1.0, 0.99, 1.02), "pass"), ((0.1, 0.1, 0.1), "fail"), ((0.79, 0.79, 0.79), "fail"), ((0.5, 0.5, 0.9), "pass"),
    ((1.3, 0.2, 0.3), "pass"), ((0.1, 0.1), "not checked"), ((), "not checked"),
])  # fmt: skip
def test_cold_prefix(ratios, word):
    assert prefix.cold_prefix(pairs(*ratios)).startswith(word)


def test_a_cached_answer_is_invalid_output(tmp_path):
    samples = [sample(0), sample(1), *pairs(0.2, 0.3, 0.2)]
    verdict = judge_launch(ended(), launch(tmp_path / "launch", job(), samples), job(), CONTEXT)
    assert verdict.outcome == "invalid_output"
    assert verdict.reason == (
        "gate cold_prefix: a repeated prompt took 0.20 of a fresh prompt's time to first token in every one "
        "of 3 pairs: a prefix cache is on"
    )


def test_pairs_do_not_count_as_iterations(tmp_path):
    samples = [sample(0), sample(1), *pairs(1, 1, 1)]
    verdict = judge_launch(ended(), launch(tmp_path / "launch", job(), samples), job(), CONTEXT)
    assert (verdict.outcome, verdict.gates["cold_prefix"]) == ("ok", "pass")
