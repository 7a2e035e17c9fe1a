"""Statistics at the right level: a launch is the unit of replication, its iterations are correlated."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from math import comb, exp, log
from statistics import fmean, median, quantiles, stdev
from typing import Any

LEVEL = 0.90  # the interval is the narrowest symmetric one of at least this level
MIN_LAUNCHES = 5


def order_statistic_interval(values: list[float]) -> tuple[float, float, float] | None:
    """Distribution-free interval of the median: (low, high, exact level), None for fewer than five values.

    [x_(k), x_(n+1-k)] covers the median with probability 1 - 2 * sum_{i<k} C(n, i) / 2^n (David & Nagaraja, Order
    Statistics, 3rd ed., 7.1). k is the largest with a level of at least LEVEL; for five values the interval is the
    range, at 0.9375.
    """
    n = len(values)
    if n < MIN_LAUNCHES:
        return None
    ordered = sorted(values)
    best = None
    for k in range(1, n // 2 + 1):
        level = 1 - 2 * sum(comb(n, i) for i in range(k)) / 2**n
        if level < LEVEL and best is not None:
            break
        best = (ordered[k - 1], ordered[n - k], level)
    return best


@dataclass(frozen=True)
class Summary:
    """What the launches of a row say of one metric, in its unit.

    median, low, high:  over the launches' medians; `low` and `high` bound the true median with probability `level`,
                        and all three are None for fewer than five launches
    mean, std:          over all iterations, for older tables; `std` is None for a single one
    values:             the launches' medians, in the order of their blocks
    """

    median: float
    low: float | None
    high: float | None
    level: float | None
    mean: float
    std: float | None
    values: list[float]

    def as_json(self) -> dict[str, Any]:
        """As summary.json holds it."""
        return asdict(self)


def summary(launches: list[float], iterations: list[float]) -> Summary | None:
    """`launches` are per-launch medians, `iterations` all measured iterations. None where nothing was measured."""
    if not launches:
        return None
    low, high, level = order_statistic_interval(launches) or (None, None, None)
    std = stdev(iterations) if len(iterations) > 1 else None
    return Summary(median(launches), low, high, level, fmean(iterations), std, launches)


EFFECT = 0.02  # a smaller difference gets no verdict, however certain
WIDE = 0.05  # a wider interval is inconclusive


@dataclass(frozen=True)
class Interval:
    """A ratio, and the interval that holds the true one with probability `level`.

    `low`, `high` and `level` are None where there were too few launches, `ratio` where there was none.

    >>> str(Interval(1.0234, 1.001, 1.05, 0.9375))
    '1.023 [1.001, 1.050]'
    """

    ratio: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None

    @property
    def bounds(self) -> str:
        """`[low, high]`; empty where there is none."""
        return "" if self.low is None else f"[{self.low:.3f}, {self.high:.3f}]"

    def is_within(self, low: float, high: float) -> bool:
        """Whether the whole interval lies in [low, high]; False where there is none."""
        return self.low is not None and self.high is not None and low <= self.low and self.high <= high

    def is_beyond(self, low: float, high: float) -> bool:
        """Whether the whole interval lies outside of [low, high]; False where there is none."""
        return self.low is not None and self.high is not None and (self.high < low or self.low > high)

    def __str__(self) -> str:
        return "-" if self.ratio is None else f"{self.ratio:.3f} {self.bounds}".rstrip()

    @property
    def verdict(self) -> str:
        """ "faster" or "slower" where the interval excludes 1 and the ratio is at least 2 % off it; otherwise "no
        difference shown" where the interval lies within 5 % of 1, and "cannot tell" where it does not, or is missing.
        """
        if self.ratio is None or self.low is None or self.high is None:
            return "cannot tell"
        if self.low > 1 and self.ratio >= 1 + EFFECT:
            return "faster"
        if self.high < 1 and self.ratio <= 1 - EFFECT:
            return "slower"
        return "no difference shown" if self.low >= 1 - WIDE and self.high <= 1 + WIDE else "cannot tell"

    def as_json(self) -> dict[str, Any]:
        """{"ratio", "low", "high", "level"}"""
        return asdict(self)


def paired(ours: list[float], theirs: list[float]) -> Interval:
    """Whether `ours` is faster than `theirs`: speeds of two contenders in one run, block by block.

    Every block gives one ratio, so that drift between blocks cancels; the interval is that of their median.
    Raises ValueError for lists of different lengths.
    """
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Interval(median(ratios), *(order_statistic_interval(ratios) or ())) if ratios else Interval(None)


def unpaired(ours: list[float], theirs: list[float]) -> Interval:
    """Whether `ours` is faster than `theirs`: speeds of the launches of two separate runs.

    The ratio is exp of the Hodges-Lehmann estimate, the median of all m * n differences of
    log speeds; the interval is [D_(k), D_(mn+1-k)] of the ordered differences, which covers the true shift with
    probability 1 - 2 * P(U < k), U being Mann and Whitney's statistic under the null hypothesis (Hollander, Wolfe &
    Chicken, Nonparametric Statistical Methods, 3rd ed., 4.2 and 4.3). k is the largest with a level of at least
    LEVEL; five against five give 0.9048. Assumes independent launches whose log speeds differ by a shift of one
    distribution of any form. No interval with fewer than five launches on either side.
    """
    differences = sorted(log(a) - log(b) for a in ours for b in theirs)
    if not differences:
        return Interval(None)
    middle = exp(median(differences))
    if min(len(ours), len(theirs)) < MIN_LAUNCHES:
        return Interval(middle)
    k, level = _mann_whitney_rank(len(ours), len(theirs))
    return Interval(middle, exp(differences[k - 1]), exp(differences[-k]), level)


@cache
def _mann_whitney_rank(m: int, n: int) -> tuple[int, float]:
    """(k, exact level) of the narrowest interval [D_(k), D_(mn+1-k)] with at least LEVEL, else of the widest."""
    ways, total = _mann_whitney_ways(m, n), comb(m + n, m)
    below = ways[0]  # arrangements with U < k
    rank = 1, 1 - 2 * below / total
    for k, count in enumerate(ways[1 : m * n // 2], 2):
        below += count
        level = 1 - 2 * below / total
        if level < LEVEL:
            break
        rank = k, level
    return rank


def _mann_whitney_ways(m: int, n: int) -> list[int]:
    """Numbers of the C(m + n, m) arrangements with U = 0, 1 ... m * n: coefficients of the Gaussian binomial.

    Product over i = 1 ... m of (1 - q^(n + i)) / (1 - q^i) (Mann & Whitney 1947, Ann. Math. Statist. 18, 50-60).
    """
    size = m * n + 1
    ways = [1] + [0] * (size - 1)
    for i in range(1, m + 1):
        for power in range(size - 1, n + i - 1, -1):
            ways[power] -= ways[power - n - i]
        for power in range(i, size):
            ways[power] += ways[power - i]
    return ways


def within_fences(values: list[float]) -> list[float]:
    """The values inside Tukey's fences, [Q1 - 1.5 IQR, Q3 + 1.5 IQR]; fewer than five values are all inside.

    J. W. Tukey, Exploratory Data Analysis (1977), ch. 2; quartiles by linear interpolation (type 7 of Hyndman and Fan,
    The American Statistician 50 (1996) 361-365). Only for tables in the format of others; no verdict uses it.
    """
    if len(values) < MIN_LAUNCHES:
        return values
    first, _, third = quantiles(values, n=4, method="inclusive")
    reach = 1.5 * (third - first)
    return [value for value in values if first - reach <= value <= third + reach]


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile: the smallest value with at least `share` of all values at or below it."""
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]
