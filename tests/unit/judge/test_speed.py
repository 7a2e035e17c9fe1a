"""From step times to metrics, by hand; and what is no sample is refused by its line."""

import json
from dataclasses import replace

import pytest

from orchestrator.judge import speed
from orchestrator.judge.launch_files import BadSamples, read_samples
from tests.support.results_directory import job, sample

MS = 1_000_000


def one(steps_ms, batch=1, prompt_tokens=4, streams=True, **changes):
    made = sample(steps_ns=[each * MS for each in steps_ms], batch=batch, **changes)
    return speed.iteration_metrics(made, batch, prompt_tokens, streams)


def test_formulas():
    # submit at 0, first token at 50 ms, then steps of 10, 30, 10 ms
    found = one([50, 60, 90, 100], batch=2, prompt_tokens=8)
    assert found == {
        "ttft_s": pytest.approx(0.050),
        "prefill_tps": pytest.approx(2 * 8 / 0.050),
        "decode_tps": pytest.approx(2 * 3 / 0.050),  # three steps after the first token, in 100 - 50 ms
        "e2e_tps": pytest.approx(2 * 4 / 0.100),
        "itl_s": pytest.approx(0.010),  # the median step, not the mean
    }


def test_without_streaming_the_first_token_comes_from_a_run_of_its_own():
    # all four tokens arrive together at 100 ms; the separate one-token run took 40 ms
    found = one([100, 100, 100, 100], streams=False, ttft_ns=40 * MS)
    assert found["ttft_s"] == pytest.approx(0.040)
    assert found["prefill_tps"] == pytest.approx(4 / 0.040)
    assert found["decode_tps"] == pytest.approx(3 / 0.060)
    assert found["e2e_tps"] == pytest.approx(4 / 0.100)
    assert found["itl_s"] is None


def test_one_token_has_no_decode_speed():
    found = one([50])
    assert (found["decode_tps"], found["itl_s"]) == (None, None)
    assert found["e2e_tps"] == pytest.approx(20.0)


def test_a_one_token_run_slower_than_the_whole_gives_no_decode_speed():
    assert one([30, 30], streams=False, ttft_ns=40 * MS)["decode_tps"] is None


def test_only_measured_iterations_count():
    samples = [sample(0, "warmup", [MS, 2 * MS, 3 * MS]), sample(1), sample(2)]
    found = speed.launch_metrics(samples, job(), True)
    assert found["decode_tps"] == [pytest.approx(100.0)] * 2
    assert found["ttft_s"] == [pytest.approx(0.010)] * 2


def test_prefill_counts_the_prompt_that_was_given():
    """`--prompt` with a text of two tokens is two tokens, whatever the shape says."""
    made = job(prompts=[[[5, 6]]] * 12)
    assert speed.launch_metrics([sample()], made, True)["prefill_tps"] == [pytest.approx(2 / 0.010)]


def steps(count):
    """One iteration whose step times are 1, 2, 3 ... `count` ms."""
    times = [0]
    for each in range(1, count + 1):
        times.append(times[-1] + each * MS)
    return [sample(steps_ns=times)]


@pytest.mark.parametrize(("count", "p90", "p99"), [
    (63, None, None), (64, 0.058, None), (661, 0.595, None), (662, 0.596, 0.656),
])  # fmt: skip
def test_tails_only_where_the_sample_supports_them(count, p90, p99):
    found = speed.launch_metrics(steps(count), job(), True)
    assert found["itl_p90_s"] == (None if p90 is None else pytest.approx(p90))
    assert found["itl_p99_s"] == (None if p99 is None else pytest.approx(p99))


def test_steps_of_all_iterations_are_pooled_for_the_tail():
    assert speed.launch_metrics(steps(32) * 2, job(), True)["itl_p90_s"] == pytest.approx(0.029)


def test_no_tail_without_streaming():
    made = [replace(each, ttft_ns=MS) for each in steps(700)]
    assert speed.launch_metrics(made, job(), False)["itl_p90_s"] is None


@pytest.mark.parametrize(("seconds", "foreign", "noisy"), [
    (1.0, 0.049, False), (1.0, 0.051, True), (10.0, 0.4, False), (10.0, 0.6, True), (1.0, None, False),
    (0.1, 0.09, False),  # shorter than what the counters can tell
])  # fmt: skip
def test_a_busy_host_is_flagged(seconds, foreign, noisy):
    last = int(seconds * 1e9)
    samples = [sample(0), sample(1, steps_ns=[1, last], foreign_cpu_s=foreign)]
    assert speed.launch_metrics(samples, job(), True)["flags"] == (["noisy_host"] if noisy else [])


def test_noise_during_warm_up_does_not_count():
    samples = [sample(0, "warmup", [1, 10**9], foreign_cpu_s=1.0), sample(1)]
    assert speed.launch_metrics(samples, job(), True)["flags"] == []


# -- samples.jsonl -----------------------------------------------------------------------------------------------------


def read(tmp_path, *lines):
    path = tmp_path / "out" / "samples.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))
    return read_samples(tmp_path)


def line(**changes):
    return json.dumps(vars(sample(**changes))) + "\n"


def test_good_samples_are_read_as_they_are(tmp_path):
    assert read(tmp_path, line(i=0, phase="warmup"), line(i=1)) == [sample(0, "warmup"), sample(1)]
    assert read(tmp_path) == []


BAD = {
    "NaN": line().replace("10000000", "NaN", 1),
    "Infinity": line(own_cpu_s=float("inf")),
    "negative": line().replace("10000000", "-1", 1),
    "fraction": line().replace("10000000", "0.5", 1),
    "flag for a time": line().replace("10000000", "true", 1),
    "beyond 64 bits": line().replace("30000000", "9" * 400),
    "no time at all": line(steps_ns=[0, 0, 0]),
    "no steps": line(steps_ns=[]),
    "empty": "\n",
    "torn": line()[:40] + "\n",
    "no JSON": "hello\n",
    "a list": "[1, 2]\n",
    "a number": "7\n",
    "null": "null\n",
    "deep": "[" * 100_000 + "\n",
    "no times": json.dumps({"phase": "measure", "ids": [], "i": 0}) + "\n",
    "times are text": line().replace("[10000000, 20000000, 30000000]", '"abc"'),
    "unknown phase": line(phase="cooldown"),
    "ids are numbers": line().replace("[[7], [7], [7]]", "[7, 7, 7]"),
    "ids are null": line().replace("[[7], [7], [7]]", "null"),
    "no number": line().replace('"i": 0, ', ""),
    "CPU time is text": line(foreign_cpu_s="much"),
    "first token is text": line(ttft_ns="soon"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_sample_is_named_by_its_line(name, tmp_path):
    with pytest.raises(BadSamples, match=r"^samples\.jsonl line 2 is not a sample$"):
        read(tmp_path, line(i=0), BAD[name], line(i=2))


def test_a_torn_last_line_is_refused(tmp_path):
    with pytest.raises(BadSamples, match="line 2"):
        read(tmp_path, line(i=0), line(i=1)[:-10])
