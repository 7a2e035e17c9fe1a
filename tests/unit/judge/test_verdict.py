"""The word with which a launch ends, for every kind of end."""

import json
from dataclasses import replace

import pytest

from common.contract import NO_WARMUP, DeviceFacts, Failure, Result
from orchestrator.base.outcomes import OUTCOMES, exit_code
from orchestrator.base.reading import convert
from orchestrator.judge.gates import names
from orchestrator.judge.verdict import judge_launch
from orchestrator.run.job import launch_key
from tests.support.contenders import cell
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


def test_a_good_launch(good):
    verdict = judge(good)
    assert (verdict.outcome, verdict.reason) == ("ok", None)
    assert list(verdict.gates) == list(names.NAMES)
    assert {name for name, word in verdict.gates.items() if word == "pass"} == {"precision", "tokens"}
    assert all(word.startswith("not checked: ") for word in list(verdict.gates.values())[2:])
    assert verdict.result == convert(result(), Result)


# -- how the process ended ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "outcome", "reason"), [
    ({"exit_code": None, "timed_out": True, "wall_s": 60.4}, "timeout_wall", "still running after 60 s: killed\nthe"),
    ({"exit_code": 137, "signal": 9, "oom_killed": True}, "oom_host", "killed by the kernel at the container's memory"),
    ({"exit_code": 137, "signal": 9}, "oom_suspected", "killed by signal 9\nthe log"),
    ({"exit_code": 139, "signal": 11}, "engine_error", "killed by signal 11\nthe log"),
    ({"exit_code": 3}, "engine_error", "exit code 3\nthe log"),
])  # fmt: skip
@pytest.mark.parametrize("with_result", [True, False])
def test_how_it_ended_comes_before_what_it_left(good, how, outcome, reason, with_result):
    if not with_result:
        (good / "out" / "result.json").unlink()
    verdict = judge(good, **how)
    assert verdict.outcome == outcome
    assert verdict.reason.startswith(reason)
    assert (verdict.result is not None) == with_result


def test_a_launch_without_a_sign_of_life_is_hung(good):
    (good / "out" / "result.json").unlink()
    verdict = judge(good, exit_code=124, hung=True)
    assert (verdict.outcome, verdict.reason) == ("timeout_hung", "no sign of life: killed\nthe log")


@pytest.mark.parametrize(("told", "kind", "outcome"), [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "cuda", "oom_gpu"),
    ("RuntimeError: HIP out of memory", "rocm", "oom_gpu"),
    ("ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory", "cuda", "oom_gpu"),
    ("CUDA error: an illegal memory access was encountered", "cuda", "load_failed"),
    ("torch.OutOfMemoryError: CUDA out of memory", "cpu", "load_failed"),  # nobody has a GPU's memory there
    ("OSError: [Errno 28] No space left on device: '/tmp/x'", "cpu", "disk_full"),
])  # fmt: skip
@pytest.mark.parametrize("with_result", [True, False])
def test_what_was_lacking_is_told_apart_from_other_failures(good, told, kind, outcome, with_result):
    if with_result:
        failed = {"schema": 1, "outcome": "load_failed", "reason": told}
        (good / "out" / "result.json").write_text(json.dumps(failed))
    else:
        (good / "out" / "result.json").unlink()
        (good / "stderr.log").write_text(told)
        outcome = "engine_error" if outcome == "load_failed" else outcome
    verdict = judge_launch(ended(exit_code=1), good, replace(JOB, device=DeviceFacts(kind, ["0"], "X")), CONTEXT)
    assert verdict.outcome == outcome and told in verdict.reason


@pytest.mark.parametrize("word", [word for word in OUTCOMES if word != "ok"])
def test_the_engine_s_own_word_is_taken(good, word):
    (good / "out" / "result.json").write_text(json.dumps(vars(Failure(word, "because"))))
    verdict = judge(good, exit_code=1)
    assert (verdict.outcome, verdict.reason, verdict.result) == (word, "because", None)


@pytest.mark.parametrize("reason", ["", None, " \n"])
def test_a_word_without_a_reason_gets_one(good, reason):
    (good / "out" / "result.json").write_text(json.dumps({"schema": 1, "outcome": "unsupported", "reason": reason}))
    assert judge(good, exit_code=1).reason == "no reason was given"


def test_exit_code_zero_is_not_enough(good):
    (good / "out" / "result.json").unlink()
    verdict = judge(good)
    assert (verdict.outcome, verdict.reason) == ("no_result", "no result.json\nthe log")


# -- gates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "reason"), [
    ({"dtype": "float16"}, "gate precision: labelled float32, but the engine loaded float16 weights"),
    ({"weight_bytes": 2000}, "gate precision: labelled float32: 1000 parameters should take"),
])  # fmt: skip
def test_a_lie_is_invalid_output_with_the_gate_s_name(tmp_path, changes, reason):
    verdict = judge(launch(tmp_path / "launch", JOB, made_result=result(loaded=loaded(**changes))))
    assert verdict.outcome == "invalid_output"
    assert verdict.reason.startswith(reason)
    assert verdict.gates["precision"].startswith("fail: ")
    assert verdict.gates["tokens"] == "pass"


def test_times_that_run_backwards(tmp_path):
    samples = [sample(0), sample(1, steps_ns=[30, 20, 10])]
    assert (
        judge(launch(tmp_path / "launch", JOB, samples)).reason
        == "gate tokens: samples.jsonl line 2: step times run backwards"
    )


# -- key and exit code -------------------------------------------------------------------------------------------------


def key(image="image:1", model="d" * 64, artefact=None, made_job=JOB, block=0):
    return launch_key(image, model, artefact, made_job, block)


def test_the_key_changes_with_all_that_decides_the_number(tmp_path):
    changes = [
        {"prompts": [[[9]], *JOB.prompts[1:]]}, {"shape": replace(JOB.shape, new_tokens=4)}, {"repetitions": 3},
        {"threads": 1}, {"settings": {"a": 1}}, {"warmup": NO_WARMUP},
    ]  # fmt: skip
    keys = [
        key(), key(image="image:2"), key(model="e" * 64), key(artefact=tmp_path / "gguf-1" / "artefact"),
        key(artefact=tmp_path / "gguf-2" / "artefact"), key(block=1),
        *(key(made_job=replace(JOB, **change)) for change in changes),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert all(len(each) == 16 for each in keys)


def test_the_key_changes_with_nothing_else(tmp_path):
    assert key() == key(made_job=job(cell()))
    one, two = (key(artefact=tmp_path / cache / "gguf-1" / "artefact") for cache in ("a", "b"))
    assert one == two  # the cache was moved


@pytest.mark.parametrize(("outcomes", "code"), [
    (["ok"], 0), (["ok", "unsupported"], 0), ([], 0), (["ok", "build_failed"], 1), (["no_result", "interrupted"], 130),
])  # fmt: skip
def test_exit_codes(outcomes, code):
    assert exit_code(outcomes) == code
