"""The statistics, against values worked out by hand."""

import itertools
import math
import random

import pytest

from orchestrator.base import stats

# n: (rank of the lower end counted from 1, exact level); David & Nagaraja, Order Statistics, 7.1
GOLDEN = {
    5: (1, 0.9375), 6: (1, 0.96875), 7: (1, 0.984375), 8: (2, 0.9296875), 9: (2, 0.9609375), 10: (2, 0.978515625),
    11: (3, 0.9345703125), 20: (6, 0.958610534667968750),
}  # fmt: skip


@pytest.mark.parametrize("n", GOLDEN)
def test_interval_of_the_median(n):
    values = [float(value) for value in range(1, n + 1)]
    rank, level = GOLDEN[n]
    for order in (values, values[::-1], random.Random(n).sample(values, n)):
        assert stats.order_statistic_interval(order) == (float(rank), float(n + 1 - rank), level)


def test_five_values_give_their_range():
    assert stats.order_statistic_interval([3.0, 9.0, 1.0, 7.0, 5.0]) == (1.0, 9.0, 0.9375)


@pytest.mark.parametrize("n", range(5))
def test_fewer_than_five_give_none(n):
    assert stats.order_statistic_interval([1.0] * n) is None


@pytest.mark.parametrize("n", [5, 6, 8])
def test_the_level_is_the_coverage_counted_out(n):
    """All 2^n ways in which n values can lie below or above the true median."""
    rank, level = GOLDEN[n]
    covered = sum(rank <= sum(sides) <= n - rank for sides in itertools.product((0, 1), repeat=n))
    assert covered / 2**n == level


def test_the_input_is_left_as_it_was():
    values = [3.0, 1.0, 2.0, 5.0, 4.0]
    stats.order_statistic_interval(values)
    stats.percentile(values, 0.9)
    assert values == [3.0, 1.0, 2.0, 5.0, 4.0]


def test_summary_of_few_launches_has_no_interval_but_all_values():
    found = stats.summary([10.0, 14.0], [9.0, 10.0, 11.0, 14.0]).as_json()
    assert found == {
        "median": 12.0, "low": None, "high": None, "level": None, "mean": 11.0, "values": [10.0, 14.0],
        "std": pytest.approx(math.sqrt(14 / 3)),  # ((-2)^2 + 1 + 0 + 9) / (4 - 1)
    }  # fmt: skip


def test_summary_takes_the_median_over_launches_not_over_iterations():
    found = stats.summary([1.0, 2.0, 3.0, 4.0, 100.0], [1.0] * 50 + [100.0])
    assert (found.median, found.low, found.high, found.level) == (3.0, 1.0, 100.0, 0.9375)


def test_summary_of_one_iteration_has_no_std():
    assert stats.summary([2.0], [2.0]).std is None


def test_summary_of_nothing():
    assert stats.summary([], []) is None


@pytest.mark.parametrize(("values", "share", "expected"), [
    ([15, 20, 35, 40, 50], 0.30, 20), ([15, 20, 35, 40, 50], 0.40, 20), ([15, 20, 35, 40, 50], 0.50, 35),
    ([15, 20, 35, 40, 50], 1.00, 50), ([50, 15, 40, 20, 35], 0.05, 15), ([7], 0.99, 7),
])  # fmt: skip
def test_nearest_rank_percentile(values, share, expected):
    assert stats.percentile(values, share) == expected


@pytest.mark.parametrize(("share", "per_cent"), [(0.90, 90), (0.99, 99)])
def test_the_tails_rank_is_exact_for_every_count(share, per_cent):
    for n in range(1, 3000):
        assert stats.percentile(range(1, n + 1), share) == -(-n * per_cent // 100), n


def test_an_interval_covers_as_often_as_it_says():
    drawn = random.Random(5)
    hits = trials = 4000
    for _ in range(trials):
        low, high, _level = stats.order_statistic_interval([drawn.gauss(0, 1) for _ in range(8)])
        hits -= not low <= 0 <= high
    assert hits / trials == pytest.approx(0.9297, abs=0.015)


@pytest.mark.parametrize(("m", "n"), [(5, 5), (5, 6), (5, 7), (7, 5), (8, 6)])
def test_unpaired_levels_counted_out(m, n):
    """By all C(m + n, m) orders in which the values of two samples can stand: U of each, hence every P(U < k)."""
    counted = [0] * (m * n + 1)
    for places in itertools.combinations(range(m + n), m):
        counted[sum(place - i for i, place in enumerate(places))] += 1
    levels = [1 - 2 * sum(counted[:k]) / sum(counted) for k in range(1, m * n // 2)]
    narrowest = min(level for level in levels if level >= stats.LEVEL)
    assert stats.unpaired([1.0] * m, [2.0] * n).level == pytest.approx(narrowest, abs=1e-12)


@pytest.mark.parametrize(("m", "n", "k", "level"), [
    (5, 5, 5, 1 - 2 * 12 / 252),  # U < 5 in 1 + 1 + 2 + 3 + 5 orders
    (5, 10, 12, 0.9007659007659008), (10, 10, 28, 0.9107904479421507),
])  # fmt: skip
def test_unpaired_golden_levels(m, n, k, level):
    ours = [math.exp(i) for i in range(m)]
    theirs = [math.exp(m + 0.1 + i * 0.01) for i in range(n)]
    found = stats.unpaired(ours, theirs)
    assert found.level == pytest.approx(level, abs=1e-15)
    ratios = sorted(a / b for a in ours for b in theirs)
    assert (found.low, found.high) == (pytest.approx(ratios[k - 1]), pytest.approx(ratios[-k]))


def test_unpaired_by_hand():
    """Of 25 ratios the 5th, the 13th and the 21st."""
    ours, theirs = [110.0, 112.0, 108.0, 111.0, 109.0], [100.0, 102.0, 98.0, 101.0, 99.0]
    ratios = sorted(a / b for a in ours for b in theirs)
    found = stats.unpaired(ours, theirs)
    expected = [ratios[12], ratios[4], ratios[20]]
    assert [found.ratio, found.low, found.high] == pytest.approx(expected)
    assert found.verdict == "faster"
    other = stats.unpaired(theirs, ours)
    assert [getattr(other, key) for key in ("low", "high")] == pytest.approx([1 / found.high, 1 / found.low])
    assert other.verdict == "slower"


@pytest.mark.parametrize(("ours", "theirs"), [
    ([1.0] * 4, [1.0] * 5), ([1.0] * 5, [1.0] * 4), ([2.0], [1.0]), ([], [1.0]),
])  # fmt: skip
def test_unpaired_needs_five_of_each(ours, theirs):
    found = stats.unpaired(ours, theirs)
    assert (found.low, found.high, found.level, found.verdict) == (None, None, None, "cannot tell")
    assert found.ratio == (ours[0] / theirs[0] if ours else None)
