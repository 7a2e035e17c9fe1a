"""What a launch left behind is not trusted: result.json and samples.jsonl, wrong in every way."""

import json
import os

import pytest

from orchestrator.base.outcomes import OUTCOMES
from orchestrator.judge.verdict import judge_launch
from tests.support.results_directory import CONTEXT, ended, job, launch, loaded, result, sample

JOB = job()


def judge(directory, **how):
    verdict = judge_launch(ended(**how), directory, JOB, CONTEXT)
    assert verdict.outcome in OUTCOMES
    assert verdict.outcome == "ok" or (verdict.reason or "").strip()  # never a blank reason
    return verdict


@pytest.fixture
def good(tmp_path):
    return launch(tmp_path / "launch", JOB, log="the log\n")


# -- result.json -------------------------------------------------------------------------------------------------------


def without(key):
    return {name: value for name, value in result().items() if name != key}


WRONG = {
    "empty": "", "truncated": json.dumps(result())[:-20], "a list": "[]", "a number": "1", "null": "null",
    "NaN": json.dumps(result(load_s=float("nan"))), "no UTF-8": b'{"schema": 1, "\xff": 1}',
    "deep": "[" * 200_000, "other schema": json.dumps(result(schema=2)), "no schema": json.dumps(without("schema")),
    "unknown word": json.dumps({**result(), "outcome": "fine"}),
    "word is a list": json.dumps({**result(), "outcome": []}),
    "nothing loaded": json.dumps(without("loaded")), "loaded is text": json.dumps(result(loaded="all")),
    "bytes are text": json.dumps(result(loaded=loaded(weight_bytes="4000"))),
    "dtype is null": json.dumps(result(loaded=loaded(dtype=None))),
    "no quantisation": json.dumps(result(loaded={"dtype": "float32", "weight_bytes": 4000})),
    "version is a list": json.dumps(result(loaded=loaded(version=[1]))),
    "threads are text": json.dumps(result(loaded=loaded(threads="2"))),
    "KV bytes are text": json.dumps(result(loaded=loaded(kv_bytes="2"))),
    "infinite": json.dumps(result()).replace("0.5", "1e999"),
    **{f"no {key}": json.dumps(without(key)) for key in ("streams", "warmup", "memory", "load_s", "first_generate_s")},
    "memory is a list": json.dumps(result(memory=[])), "warmup is a list": json.dumps(result(warmup=[])),
    "peak is text": json.dumps(result(memory={"peak_host_mib": "much"})),
    "load time is text": json.dumps(result(load_s="long")),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_result_that_is_none_is_invalid_output(good, name):
    content = WRONG[name]
    (good / "out" / "result.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    verdict = judge(good)
    assert (verdict.outcome, verdict.result) == ("invalid_output", None)
    assert verdict.reason.startswith("result.json")
    assert "\n" not in verdict.reason


def test_200_mb_are_not_read(good):
    with (good / "out" / "result.json").open("wb") as file:
        file.truncate(200 * 10**6)
    verdict = judge(good)
    assert (verdict.outcome, verdict.reason) == ("invalid_output", "result.json has 200000000 bytes")


def test_a_link_is_not_followed(good, tmp_path):
    path = good / "out" / "result.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert judge(good).reason == "result.json is not a plain file"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    assert judge(good).outcome == "invalid_output"


@pytest.mark.parametrize("name", ["result.json", "samples.jsonl"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_plain_file_is_not_opened(good, name, make):
    (good / "out" / name).unlink()
    make(good / "out" / name)  # reading a pipe would wait forever
    verdict = judge(good)
    assert (verdict.outcome, verdict.reason) == ("invalid_output", f"{name} is not a plain file")


# -- samples.jsonl -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_number_of_samples_must_be_the_one_asked_for(tmp_path, count):
    samples = [sample(0, "warmup")] * 3 + [sample(i) for i in range(count)]
    verdict = judge(launch(tmp_path / "launch", JOB, samples))
    assert (verdict.outcome, verdict.reason) == ("invalid_output", f"{count} samples, 2 were asked for")


def test_no_samples_at_all(good):
    (good / "out" / "samples.jsonl").unlink()
    verdict = judge(good)
    assert verdict.outcome == "invalid_output"
    assert "samples.jsonl" in verdict.reason


def test_a_link_to_samples_is_not_followed(good, tmp_path):
    path = good / "out" / "samples.jsonl"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert judge(good).reason == "samples.jsonl is not a plain file"


def test_a_torn_sample(good):
    with (good / "out" / "samples.jsonl").open("a") as file:
        file.write('{"i": 5, "pha')
    assert judge(good).reason == "samples.jsonl line 6 is not a sample"


def test_without_streaming_every_sample_needs_its_first_token(tmp_path):
    made = launch(tmp_path / "launch", JOB, made_result=result(streams=False))
    assert (judge(made).outcome, judge(made).reason) == ("invalid_output", "samples.jsonl lacks ttft_ns")
    samples = [sample(i, ttft_ns=5) for i in range(2)]
    assert judge(launch(tmp_path / "told", JOB, samples, result(streams=False))).outcome == "ok"


def test_half_a_character_in_a_reason_does_no_harm(good):
    told = '{"schema": 1, "outcome": "load_failed", "reason": "half \\ud800 of one, a whole \\ud83d\\ude00"}'
    (good / "out" / "result.json").write_text(told)
    assert judge(good, exit_code=1).reason == "half \ufffd of one, a whole \U0001f600"
