"""What the intervals and verdicts are worth, on simulated runs whose truth is known."""

import numpy as np
import pytest

from orchestrator import stats

RUNS, LAUNCHES = 4000, 5


@pytest.fixture
def chance():
    return np.random.default_rng(20251101)


@pytest.mark.parametrize("draw", ["normal", "lognormal", "exponential"])
def test_the_interval_covers_the_median_as_often_as_it_says(chance, draw):
    truth = {"normal": 0.0, "lognormal": 1.0, "exponential": np.log(2)}[draw]
    covered = 0
    for launches in getattr(chance, draw)(size=(RUNS, LAUNCHES)):
        low, high, level = stats.order_statistic_interval(list(launches))
        assert level == 0.9375
        covered += low <= truth <= high
    assert covered / RUNS >= 0.90
    assert covered / RUNS == pytest.approx(0.9375, abs=0.015)


def test_pooled_iterations_would_cover_half(chance):
    """Why a launch is the unit: five launches of five correlated iterations, an interval over all 25."""
    covered = 0
    for _ in range(1000):
        launches = chance.normal(0, 1, size=(5, 1)) + chance.normal(0, 0.3, size=(5, 5))
        low, high, _ = stats.order_statistic_interval(list(launches.ravel()))
        covered += low <= 0 <= high
    assert covered / 1000 < 0.75


def speeds(chance, factor=1.0, noise=0.005):
    """Two contenders over five blocks of a machine that drifts by 3 % meanwhile, in either direction."""
    drift = 1 + 0.03 * chance.choice([-1, 1]) * np.linspace(0, 1, LAUNCHES)
    ours, theirs = (drift * (1 + chance.normal(0, noise, LAUNCHES)) for _ in range(2))
    return list(100 * factor * ours), list(100 * theirs)


@pytest.mark.parametrize("noise", [0.002, 0.005, 0.01])
def test_two_identical_engines_show_no_difference(chance, noise):
    verdicts = [stats.paired(*speeds(chance, noise=noise))["verdict"] for _ in range(RUNS)]
    assert verdicts.count("no difference shown") / RUNS >= 0.95


@pytest.mark.parametrize(("factor", "verdict"), [(1.05, "faster"), (0.95, "slower")])
def test_five_percent_are_found(chance, factor, verdict):
    verdicts = [stats.paired(*speeds(chance, factor))["verdict"] for _ in range(1000)]
    assert verdicts.count(verdict) / 1000 >= 0.95


def test_noise_that_hides_everything_is_said(chance):
    verdicts = [stats.paired(*speeds(chance, noise=0.2))["verdict"] for _ in range(1000)]
    assert verdicts.count("cannot tell") / 1000 >= 0.75


@pytest.mark.parametrize(("ours", "theirs", "verdict"), [
    ([110.0] * 5, [100.0] * 5, "faster"), ([90.0] * 5, [100.0] * 5, "slower"),
    ([101.0] * 5, [100.0] * 5, "no difference shown"),  # sure, but less than 2 %
    ([110.0] * 4, [100.0] * 4, "cannot tell"), ([], [], "cannot tell"),
    ([110, 110, 110, 110, 99.0], [100.0] * 5, "cannot tell"),
])  # fmt: skip
def test_verdicts(ours, theirs, verdict):
    assert stats.paired(ours, theirs)["verdict"] == verdict


def test_golden_values():
    found = stats.paired([104, 103, 108, 105, 106], [100, 100, 100, 100, 100])
    assert [found[key] for key in ("ratio", "low", "high", "level")] == [1.05, 1.03, 1.08, 0.9375]


def test_blocks_must_match():
    with pytest.raises(ValueError, match="zip"):
        stats.paired([1.0], [1.0, 2.0])
