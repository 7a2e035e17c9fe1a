"""Every cell without a number, with its outcome, reason and the end of its log; cells that failed alike are grouped."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.base.escape import first_line, log_text
from orchestrator.report.page.row_table import short
from orchestrator.results.row import Row, by_workload, row_names, workload_title

REASON_LIMIT = 4000  # characters
LOGS_LIMIT = 2_000_000  # characters of all reasons and logs together
UNSUPPORTED = "unsupported"


class Failure(NamedTuple):
    """`cells` failed alike. `reason` is None where the headline is all of it, `log` where it adds nothing."""

    outcome: str
    headline: str
    cells: list[str]
    reason: str | None
    log: str | None
    link: str | None


def failures(rows: list[Row]) -> tuple[list[Failure], list[Failure], int]:
    """(failed, unsupported, how many of them have no log because the page would be too large)."""
    groups: dict[tuple[str, str, str, str | None], list[str]] = {}
    workloads = by_workload(rows).values()
    several = len(workloads) > 1
    for row, name in (pair for group in workloads for pair in zip(group, row_names(group), strict=True)):
        if row["outcome"] != "ok":
            alike = row["outcome"], row["reason"] or "", row.get("log_tail") or "", row.get("link")
            shape = f", {workload_title(row)}" if several else ""
            groups.setdefault(alike, []).append(short(name + shape))
    failed: list[Failure] = []
    unsupported: list[Failure] = []
    size = left_out = 0
    for (outcome, reason, log, link), cells in groups.items():
        failure = _failure(outcome, log_text(reason), log_text(log), link, cells)
        size += len(failure.reason or "") + len(failure.log or "")
        if size > LOGS_LIMIT and (failure.reason or failure.log):
            failure, left_out = failure._replace(reason=None, log=None), left_out + 1
        (unsupported if outcome == UNSUPPORTED else failed).append(failure)
    return failed, unsupported, left_out


def _failure(outcome: str, reason: str, log: str, link: str | None, cells: list[str]) -> Failure:
    headline = first_line(reason)
    return Failure(
        outcome, headline or "no reason was given", cells,
        reason=reason[:REASON_LIMIT] if reason.strip() != headline and reason.strip() not in log else None,
        log=log if log.strip() and log.strip() not in reason else None,
        link=link if link and link.startswith("https://") else None,
    )  # fmt: skip
