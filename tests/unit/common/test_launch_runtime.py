"""One launch of the dummy in this process: what it leaves behind, and the word in which it ends."""

from dataclasses import replace

import numpy as np
import pytest

from bench_dummy.bench import Dummy
from common import launch as runtime
from common.engine import Loaded, Unsupported
from orchestrator.judge.verdict import judge_launch
from tests.support.dummy_launches import engine, loaded_dummy, make, run
from tests.support.results_directory import CONTEXT, ended


def test_a_launch_that_goes_well(tmp_path):
    made = make()
    code, result, written = run(made, tmp_path)
    assert (code, result["outcome"], result["reason"], result["schema"]) == (0, "ok", None, 1)
    assert result["loaded"] == {"version": "1", "dtype": "float32", "weight_bytes": 4000, "quantization": None,
                                "threads": 2, "kv_dtype": None, "kv_bytes": None, "extra": {}}  # fmt: skip
    assert result["warmup"] == {"iterations": 3, "steady": True}
    assert result["samples"] == 5
    assert result["first_generate_s"] == written[0]["steps_ns"][-1] / 1e9
    assert result["streams"] is True
    assert result["load_s"] >= 0
    assert [(each["i"], each["phase"]) for each in written] == [
        (0, "warmup"), (1, "warmup"), (2, "warmup"), (3, "measure"), (4, "measure"),
    ]  # fmt: skip
    for each in written:
        assert len(each["steps_ns"]) == 5
        assert each["steps_ns"] == sorted(each["steps_ns"])
        assert each["ids"] == list(loaded_dummy(made).generate(made.prompts[each["i"]], 5))  # its own prompts, in order


def test_the_orchestrator_accepts_what_the_runtime_writes(tmp_path):
    """The two meet in these files only."""
    (tmp_path / "out").mkdir()
    made = make()
    assert runtime.run(Dummy, made, tmp_path / "out") == 0
    verdict = judge_launch(ended(), tmp_path, made, CONTEXT)
    assert (verdict.outcome, verdict.reason) == ("ok", None)


@pytest.mark.parametrize(
    ("fault", "gate"), [("lying_dtype", "float16 weights"), ("lying_bytes", "MiB, but the engine")]
)
def test_a_lie_passes_the_runtime_and_not_the_judge(tmp_path, fault, gate):
    (tmp_path / "out").mkdir()
    made = make(fault=fault)
    assert runtime.run(Dummy, made, tmp_path / "out") == 0
    verdict = judge_launch(ended(), tmp_path, made, CONTEXT)
    assert verdict.outcome == "invalid_output"
    assert gate in verdict.reason


@pytest.mark.parametrize(("fault", "outcome", "reason"), [
    ("raise_in_load", "load_failed", "RuntimeError: the dummy was told to fail in load"),
    ("raise_in_generate", "engine_error", "RuntimeError: the dummy was told to fail in generate"),
    ("too_few_tokens", "invalid_output", "token audit: 4 decode steps were yielded, 5 were asked for"),
    ("too_many_tokens", "invalid_output", "token audit: 6 decode steps were yielded, 5 were asked for"),
    ("wrong_batch", "invalid_output", "token audit: step 0 carries 1 tokens for a batch of 2"),
    ("no such fault", "load_failed", "unknown fault 'no such fault'"),
])  # fmt: skip
def test_a_fault_ends_in_its_word(tmp_path, capfd, fault, outcome, reason):
    code, result, written = run(make(fault=fault), tmp_path)
    assert (code, result["outcome"]) == (1, outcome)
    assert reason in result["reason"]
    assert written == []
    assert result["memory"]["source"]
    assert capfd.readouterr().err.startswith(f"{outcome}: ")


class FailsLater(Dummy):
    """Gives way in its fourth call of generate."""

    def load(self, job):
        self.calls = 0
        return super().load(job)

    def generate(self, prompts, new_tokens):
        self.calls += 1
        if self.calls == 4:
            raise RuntimeError("worn out")
        yield from super().generate(prompts, new_tokens)


def test_what_was_measured_before_a_failure_is_kept(tmp_path):
    code, result, written = run(make(), tmp_path, FailsLater)
    assert (code, result["outcome"]) == (1, "engine_error")
    assert result["reason"].endswith("RuntimeError: worn out")
    assert [each["i"] for each in written] == [0, 1, 2]
    assert result["loaded"]["version"] == "1"


# -- what an engine's author gets wrong --------------------------------------------------------------------------------


def boom(*_):
    raise RuntimeError("boom")


def cannot(*_):
    raise Unsupported("not on this device")


def full(*_):
    raise MemoryError("no room")


@pytest.mark.parametrize(("made", "outcome", "reason"), [
    (engine(__init__=boom), "load_failed", "RuntimeError: boom"),
    (engine(load=lambda self, job: None), "load_failed", "TypeError: load returned None, not Loaded"),
    (engine(load=lambda self, job: Loaded("1", "float32", 1, extra={"dtype": float})), "load_failed", "TypeError"),
    (engine(load=lambda self, job: Loaded("1", "float32", 1, extra={"x": float("nan")})), "load_failed", "ValueError"),
    (engine(load=cannot), "unsupported", "not on this device"),
    (engine(load=full), "oom_suspected", "MemoryError: no room"),
    (engine(generate=full), "oom_suspected", "MemoryError: no room"),
    (engine(generate=lambda self, prompts, n: None), "engine_error", "TypeError"),
    (engine(generate=lambda self, prompts, n: [7] * n), "engine_error", "TypeError"),
    (engine(generate=lambda self, prompts, n: [["x", "y"]] * n), "engine_error", "ValueError"),
    (engine(close=boom), "engine_error", "RuntimeError: boom"),
])  # fmt: skip
def test_it_ends_in_a_word_and_a_reason(tmp_path, made, outcome, reason):
    code, result, _ = run(make(), tmp_path, made)
    assert (code, result["outcome"]) == (1, outcome)
    assert reason in result["reason"]


def test_a_job_without_enough_prompts_is_the_harness_s_fault(tmp_path):
    made = make()
    code, result, written = run(replace(made, prompts=made.prompts[:4]), tmp_path)
    assert (code, result["outcome"]) == (1, "harness_error")
    assert "IndexError" in result["reason"]
    assert len(written) == 4


# -- scores ------------------------------------------------------------------------------------------------------------


def test_scores_are_teacher_forced_log_probabilities(tmp_path):
    made = make()
    prompt = [3, 4, 5]
    own = prompt + [step[0] for step in loaded_dummy(made).generate([prompt], 4)]
    _, result, _ = run(replace(made, score=[own]), tmp_path)
    [score] = result["scores"]
    values = np.load(tmp_path / score["file"])
    assert (values.shape, values.dtype) == ((6, 64), np.float32)
    assert (values[2:, :].max(axis=1) == values[range(2, 6), own[3:]]).all()  # what it generated is what it thinks
    assert score["mean_logprob"] == pytest.approx(values[range(6), own[1:]].mean())


@pytest.mark.parametrize(("logprobs", "outcome"), [
    (lambda self, tokens: NotImplemented, "ok"),
    (lambda self, tokens: np.zeros((len(tokens), 64)), "engine_error"),
    (lambda self, tokens: np.full((len(tokens) - 1, 64), np.nan), "engine_error"),
    (boom, "engine_error"), (cannot, "unsupported"),
])  # fmt: skip
def test_scores_that_are_none(tmp_path, logprobs, outcome):
    _, result, written = run(make(score=[[1, 2, 3]]), tmp_path, engine(logprobs=logprobs))
    assert result["outcome"] == outcome
    assert len(written) == 5  # the measurement is on disk whatever becomes of the scores
    assert outcome != "ok" or result["scores"] == [None]
