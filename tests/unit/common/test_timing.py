"""One timed iteration: what happens in which order, and what an engine may not get wrong."""

import gc

import pytest

from common import timing


@pytest.fixture
def events(monkeypatch):
    """A clock that notes when it is read, and moves 100 ns a reading."""
    noted = []

    def clock():
        noted.append("clock")
        return 1000 + 100 * noted.count("clock")

    monkeypatch.setattr(timing.time, "monotonic_ns", clock)
    monkeypatch.setattr(timing.gc, "collect", lambda: noted.append("collect"))
    monkeypatch.setattr(timing.gc, "disable", lambda: noted.append("gc off"))
    monkeypatch.setattr(timing.gc, "enable", lambda: noted.append("gc on"))
    return noted


def engine(events, steps):
    def decode():
        for number, step in enumerate(steps):
            events.append(f"step {number}")
            yield step
        events.append("done")

    def generate(prompts, new_tokens):  # no generator itself: an engine may work as soon as it is called
        events.append(f"submit {len(prompts)} x {new_tokens}")
        return decode()

    return generate


def test_the_clock_is_read_before_the_submit_and_after_each_step(events):
    made = timing.time_iteration(engine(events, [[1], [2], [3]]), [[5]], 3)
    assert events == [
        "collect", "gc off", "clock", "submit 1 x 3", "step 0", "clock", "step 1", "clock", "step 2", "clock", "done",
        "gc on",
    ]  # fmt: skip
    assert made.steps_ns == [100, 200, 300]  # after the submit
    assert made.ids == [[1], [2], [3]]


def test_ids_become_plain_integers(events):
    class Id:
        def __index__(self):
            return 7

        __int__ = __index__

    made = timing.time_iteration(engine(events, [[Id(), 8]]), [[5], [6]], 1)
    assert made.ids == [[7, 8]]
    assert type(made.ids[0][0]) is int


def test_the_garbage_collector_is_on_again_after_a_failure():
    def generate(prompts, new_tokens):
        yield [1]
        assert not gc.isenabled()
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        timing.time_iteration(generate, [[5]], 2)
    assert gc.isenabled()


@pytest.mark.parametrize(("steps", "batch", "new_tokens", "message"), [
    ([[1], [2]], 1, 3, "2 decode steps were yielded, 3 were asked for"),
    ([[1], [2], [3], [4]], 1, 3, "4 decode steps were yielded, 3 were asked for"),
    ([], 1, 1, "0 decode steps were yielded, 1 were asked for"),
    ([[1, 1], [2]], 2, 2, "step 1 carries 1 tokens for a batch of 2"),
    ([[1, 1, 0]], 2, 1, "step 0 carries 3 tokens for a batch of 2"),
])  # fmt: skip
def test_the_token_audit(events, steps, batch, new_tokens, message):
    with pytest.raises(timing.TokenAudit, match=f"token audit: {message}"):
        timing.time_iteration(engine(events, steps), [[5]] * batch, new_tokens)


@pytest.mark.parametrize(("durations", "steady"), [
    ([1.0, 1.0, 1.0], True), ([1.0, 1.0], False), ([], False),
    ([9.0, 5.0, 1.0, 1.04, 1.05], True),  # only the last three count
    ([1.0, 1.0, 1.0, 1.0, 2.0], False),
    ([0.95, 1.0, 1.001], False),  # 5.1 % of the median
    ([0.96, 1.0, 1.009], True),  # 4.9 %
])  # fmt: skip
def test_steady_is_a_span_of_the_last_three(durations, steady):
    assert timing.is_steady(durations, 0.05) is steady
