"""Statistics at the right level: a launch is the unit of replication, its iterations are correlated."""

from __future__ import annotations

from math import comb
from statistics import fmean, median, stdev
from typing import Any

LEVEL = 0.90  # the interval is the narrowest symmetric one of at least this level
MIN_LAUNCHES = 5


def order_statistic_interval(values: list[float]) -> tuple[float, float, float] | None:
    """Distribution-free interval of the median: (low, high, exact level), None for fewer than five values.

    [x_(k), x_(n+1-k)] covers the median with probability 1 - 2 * sum_{i<k} C(n, i) / 2^n (David & Nagaraja, Order
    Statistics, 3rd ed., 7.1). The largest k is taken whose level is at least LEVEL; for five values that is the range,
    at 0.9375.
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


def summary(launches: list[float], iterations: list[float]) -> dict[str, Any] | None:
    """Median of the launches' medians with its interval; mean and std over all iterations, as older tables print them.

    `launches` are per-launch medians, `iterations` all measured iterations. None where nothing was measured; `low`,
    `high` and `level` are None for fewer than five launches, whose values are all listed under `values`.
    """
    if not launches:
        return None
    interval = order_statistic_interval(launches)
    low, high, level = interval if interval else (None, None, None)
    return {
        "median": median(launches),
        "low": low,
        "high": high,
        "level": level,
        "mean": fmean(iterations),
        "std": stdev(iterations) if len(iterations) > 1 else None,
        "values": launches,
    }


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile: the smallest value with at least `share` of all values at or below it."""
    ordered = sorted(values)
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]
