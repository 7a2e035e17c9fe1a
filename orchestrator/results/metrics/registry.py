"""The registry of metrics: every metric of a row, declared once.

The columns of tables, page, CSV and store, the options of `compare` and `choose`, the glossary and the tables of the
methodology are generated from METRICS, in its order. To add a metric, add an entry with the function that reads it from
a launch; the entry also says where it is shown, whether it can be compared, and whether it can bound a choice.
"""

from __future__ import annotations

from orchestrator.results.metrics.memory_metrics import MEMORY
from orchestrator.results.metrics.metric import Group, Metric
from orchestrator.results.metrics.quality_metrics import ENERGY, LIMIT, QUALITY
from orchestrator.results.metrics.time_metrics import TIME
from orchestrator.results.row import Row

METRICS: dict[str, Metric] = {metric.key: metric for metric in (*TIME, *MEMORY, *LIMIT, *ENERGY, *QUALITY)}


def in_table(*groups: Group) -> list[Metric]:
    """The columns of the tables about these groups."""
    return [metric for metric in METRICS.values() if metric.table and metric.group in groups]


def on_page() -> list[Metric]:
    """The columns of the page."""
    return [metric for metric in METRICS.values() if metric.page is not None]


def on_terminal() -> list[Metric]:
    """The columns of the table that a run ends with."""
    return [metric for metric in METRICS.values() if metric.terminal]


def stored() -> list[Metric]:
    """The metrics that are a field of a row, and so a column of CSV and store."""
    return [metric for metric in METRICS.values() if metric.field]


def summarised() -> list[Metric]:
    """The metrics of which a row holds a Summary."""
    return [metric for metric in METRICS.values() if metric.is_summary]


def comparable() -> list[Metric]:
    """The metrics that `compare` offers."""
    return [metric for metric in METRICS.values() if metric.comparable]


def limits() -> dict[str, Metric]:
    """The options of `choose` that bound a metric."""
    return {metric.limit: metric for metric in METRICS.values() if metric.limit}


def objectives() -> dict[str, Metric]:
    """The values of `choose --objective`."""
    return {metric.objective: metric for metric in METRICS.values() if metric.objective}


def asked_for() -> list[Metric]:
    """The metrics that a command can name: as a limit, an objective or the subject of a comparison."""
    return [metric for metric in METRICS.values() if metric.limit or metric.objective or metric.comparable]


def launches(row: Row, metric: Metric) -> dict[int, float]:
    """A row's values by block; empty unless all are positive, since ratios are taken of them."""
    values = metric.read(row).launches or {}
    return values if all(value > 0 for value in values.values()) else {}
