"""What the intervals and verdicts are worth, on simulated runs whose truth is known."""

import numpy as np
import pytest

from orchestrator.base import stats

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
    verdicts = [stats.paired(*speeds(chance, noise=noise)).verdict for _ in range(RUNS)]
    assert verdicts.count("no difference shown") / RUNS >= 0.95


@pytest.mark.parametrize(("factor", "verdict"), [(1.05, "faster"), (0.95, "slower")])
def test_five_percent_are_found(chance, factor, verdict):
    verdicts = [stats.paired(*speeds(chance, factor)).verdict for _ in range(1000)]
    assert verdicts.count(verdict) / 1000 >= 0.95


def test_noise_that_hides_everything_is_said(chance):
    verdicts = [stats.paired(*speeds(chance, noise=0.2)).verdict for _ in range(1000)]
    assert verdicts.count("cannot tell") / 1000 >= 0.75


@pytest.mark.parametrize(("ours", "theirs", "verdict"), [
    ([110.0] * 5, [100.0] * 5, "faster"), ([90.0] * 5, [100.0] * 5, "slower"),
    ([101.0] * 5, [100.0] * 5, "no difference shown"),  # sure, but less than 2 %
    ([110.0] * 4, [100.0] * 4, "cannot tell"), ([], [], "cannot tell"),
    ([110, 110, 110, 110, 99.0], [100.0] * 5, "cannot tell"),
])  # fmt: skip
def test_verdicts(ours, theirs, verdict):
    assert stats.paired(ours, theirs).verdict == verdict


def test_golden_values():
    found = stats.paired([104, 103, 108, 105, 106], [100, 100, 100, 100, 100])
    assert [getattr(found, key) for key in ("ratio", "low", "high", "level")] == [1.05, 1.03, 1.08, 0.9375]


def test_blocks_must_match():
    with pytest.raises(ValueError, match="zip"):
        stats.paired([1.0], [1.0, 2.0])


# -- two runs, whose launches do not pair ------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [(5, 5), (5, 10), (10, 10)])
@pytest.mark.parametrize("draw", ["normal", "exponential", "standard_cauchy"])
def test_the_unpaired_interval_covers_the_ratio_as_often_as_it_says(chance, draw, ours, theirs):
    """Log speeds of one distribution, of any form, shifted by log 1.1."""
    covered, runs = 0, 2000
    for logs in getattr(chance, draw)(size=(runs, ours + theirs)):
        speeds = np.exp(0.02 * logs)
        found = stats.unpaired(list(1.1 * speeds[:ours]), list(speeds[ours:]))
        covered += found.low <= 1.1 <= found.high
    assert covered / runs == pytest.approx(found.level, abs=0.02)
    assert covered / runs >= 0.89


def two_runs(chance, factor=1.0, noise=0.005):
    """(after, before) of a row and of an anchor; the machine drifts within each run, and is 10 % off between them."""
    runs = []
    for speed, engine in ((1.1, factor), (1.0, 1.0)):
        drift = speed * (1 + 0.03 * chance.choice([-1, 1]) * np.linspace(0, 1, LAUNCHES))
        runs.append([drift * level * (1 + chance.normal(0, noise, LAUNCHES)) for level in (engine, 1.0)])
    (after, anchor_after), (before, anchor_before) = runs
    return (list(after), list(before)), (list(after / anchor_after), list(before / anchor_before))


def test_an_engine_that_did_not_change_is_not_called_so_against_an_anchor(chance):
    """Without one the machine's 10 % are taken for the engine's; with one a false verdict is rare."""
    plain, anchored = [], []
    for _ in range(1000):
        raw, relative = two_runs(chance)
        plain.append(stats.unpaired(*raw).verdict)
        anchored.append(stats.unpaired(*relative).verdict)
    assert plain.count("faster") / 1000 >= 0.99
    assert anchored.count("no difference shown") / 1000 >= 0.97


def test_an_engine_that_became_slower_is_found_against_an_anchor(chance):
    found = [stats.unpaired(*two_runs(chance, factor=0.95)[1]).verdict for _ in range(1000)]
    assert found.count("slower") / 1000 >= 0.97
