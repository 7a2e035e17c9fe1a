"""How often a launch generates: the warm-up rule, the repetitions, and the extra run where nothing streams."""

import pytest

from bench_dummy.bench import Dummy
from common.contract import NO_WARMUP, WarmupRule
from common.engine import Engine, Loaded
from tests.support.dummy_launches import make, run


class Scripted(Engine):
    """Iterations whose durations, in ms, are told; the clock is what the test says it is."""

    durations: tuple = ()
    now = 0

    def load(self, job):
        type(self).now, self.calls = 0, 0
        return Loaded("1", "float32", 4000)

    def generate(self, prompts, new_tokens):
        duration = self.durations[min(self.calls, len(self.durations) - 1)]
        self.calls += 1
        for _ in range(new_tokens):
            type(self).now += duration * 1_000_000 // new_tokens
            yield [1] * len(prompts)


@pytest.mark.parametrize(("durations", "iterations", "steady"), [
    ([100], 3, True),
    ([900, 100, 100, 100], 4, True),
    ([900, 500, 300, 200, 102, 100, 100], 7, True),
    ([100, 104, 100], 3, True),  # 4 % of the median
    ([100, 106], 4, True),  # 100 106 106: not; 106 106 106: steady
    ([100, 200] * 8, 10, False),
    ([900, 800, 700, 600, 500, 400, 300, 100, 100, 100], 10, True),
])  # fmt: skip
@pytest.mark.parametrize("repetitions", [1, 5])
def test_the_warm_up_rule(tmp_path, monkeypatch, durations, iterations, steady, repetitions):
    engine = type("Told", (Scripted,), {"durations": tuple(durations)})
    monkeypatch.setattr("common.timing.time.monotonic_ns", lambda: engine.now)
    rule = WarmupRule(min=3, max=10, span=0.05)
    code, result, written = run(make(repetitions, warmup=rule, shape=(1, 4, 4)), tmp_path, engine)
    assert code == 0
    assert result["warmup"] == {"iterations": iterations, "steady": steady}
    assert [each["phase"] for each in written] == ["warmup"] * iterations + ["measure"] * repetitions
    assert [each["i"] for each in written] == list(range(iterations + repetitions))
    assert result["samples"] == iterations + repetitions


@pytest.mark.parametrize(("seconds", "iterations"), [(0.1, 3), (1.4, 3), (1.6, 4), (100, 10)])
def test_the_longest_time_that_a_warm_up_takes(tmp_path, monkeypatch, seconds, iterations):
    engine = type("Told", (Scripted,), {"durations": (400, 500, 600, 700, 800, 900, 1000, 1100, 1200, 1300)})
    monkeypatch.setattr("common.timing.time.monotonic_ns", lambda: engine.now)
    rule = WarmupRule(min=3, max=10, span=0.05, max_s=seconds)
    _, result, _ = run(make(warmup=rule, shape=(1, 4, 4)), tmp_path, engine)
    assert result["warmup"] == {"iterations": iterations, "steady": False}


def test_the_least_number_of_warm_up_iterations(tmp_path):
    _, result, _ = run(make(warmup=WarmupRule(min=5, max=10, span=1e9)), tmp_path)
    assert result["warmup"] == {"iterations": 5, "steady": True}


def test_without_warm_up(tmp_path):
    _, result, written = run(make(warmup=NO_WARMUP), tmp_path)
    assert result["warmup"] == {"iterations": 0, "steady": True}
    assert [each["phase"] for each in written] == ["measure"] * 2


class AtOnce(Dummy):
    streams = False
    asked: list = []  # noqa: RUF012 - one engine a test

    def generate(self, prompts, new_tokens):
        self.asked.append(new_tokens)
        yield from list(super().generate(prompts, new_tokens))


def test_an_engine_that_does_not_stream_is_asked_for_one_token_first(tmp_path):
    AtOnce.asked.clear()
    code, result, written = run(make(repetitions=1), tmp_path, AtOnce)
    assert (code, result["streams"]) == (0, False)
    assert AtOnce.asked == [1, 5] * 4
    assert all(isinstance(each["ttft_ns"], int) and len(each["ids"]) == 5 for each in written)
