"""Readers of the metrics that are more than one field of a row."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.base import stats
from orchestrator.results.metrics.metric import Reading, by_block
from orchestrator.results.row import Row

NOT_MEASURED = "not measured"


def peak_memory(row: Row) -> Reading:
    """The largest peak of any launch; low and high are the range of the launches."""
    on_cpu = row["device"] == "cpu"
    names = ("peak_host_mib", "peak_mapped_file_mib") if on_cpu else ("peak_device_mib",)
    if any(row.get(name) is None for name in names):
        return Reading(None, why="no peak was measured")
    value = sum(row[name] for name in names)
    peaks = row.get("each_launch") or {}
    columns = [peaks.get(name) or [] for name in names]
    complete = all(columns) and len({len(column) for column in columns}) == 1
    sums = [None if None in parts else sum(parts) for parts in zip(*columns, strict=True)] if complete else []
    launches = by_block(row, sums)
    if len(launches) < stats.MIN_LAUNCHES:
        return Reading(value, launches=launches)
    return Reading(value, min(launches.values()), max(value, *launches.values()), launches)


def runtime_memory(row: Row) -> Reading:
    """Host memory beyond weights and KV cache; unknown on an accelerator."""
    resident = [row["peak_host_mib"], row["peak_mapped_file_mib"]]
    model = [row["weights_mib"], row["kv_mib"] or row.get("kv_needed_mib")]
    if row["device"] != "cpu" or None in [*resident, *model]:
        return Reading(None, why=NOT_MEASURED)
    return Reading(max(0.0, sum(resident) - sum(model)))


def bandwidth_share(row: Row) -> Reading:
    """MBU; unknown if the last-level cache can hold what a step reads."""
    if row["mbu"] is None and row.get("bandwidth_gbs"):
        return Reading(None, why="what a step reads may come from the cache", word="in cache")
    return Reading(row["mbu"], why=NOT_MEASURED if row["mbu"] is None else None)


def energy(row: Row) -> Reading:
    """Energy per token, with the interval over the launches if every one has a value."""
    value = row.get("energy_j_per_token")
    if value is None:
        return Reading(None, why=row.get("energy_validity") or NOT_MEASURED)
    launches = by_block(row, (row.get("each_launch") or {}).get("energy_j_per_token") or [])
    interval = stats.order_statistic_interval(list(launches.values()))
    low, high, _ = interval or (None, None, None)
    return Reading(value, low, high, launches)


def quality(name: str) -> Callable[[Row], Reading]:
    """The reader of one figure of the exam: a single launch on a single text, so there is no interval."""

    def read(row: Row) -> Reading:
        value = (row.get("quality") or {}).get(name)
        return Reading(value, why=None if value is not None else row.get("quality_reason") or "not examined")

    return read
