"""Every cell without a number, with its word, reason and the end of its log; cells that failed alike stand together."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.base.escape import first_line, log_text
from orchestrator.report.page.row_table import short
from orchestrator.results.row import Row, by_workload, row_names, workload_title

REASON_LIMIT = 4000  # characters
LOGS_LIMIT = 2_000_000  # characters of all reasons and logs together
UNSUPPORTED = "unsupported"


class Failure(NamedTuple):
    """`cells` failed alike. `reason` is None where the headline says it all; `log` where there is none."""

    outcome: str
    headline: str
    cells: list[str]
    reason: str | None
    log: str | None
    link: str | None


def failures(rows: list[Row]) -> tuple[list[Failure], list[Failure], int]:
    """(what failed, what is unsupported, from how many the log was left out for the page's size)."""
    groups: dict[tuple, list[str]] = {}
    workloads = by_workload(rows).values()
    several = len(workloads) > 1
    for row, name in ((row, name) for each in workloads for row, name in zip(each, row_names(each), strict=True)):
        if row["outcome"] != "ok":
            alike = row["outcome"], row["reason"] or "", row.get("log_tail") or "", row.get("link")
            shape = f", {workload_title(row)}" if several else ""
            groups.setdefault(alike, []).append(short(name + shape))
    found, written, left_out = [], 0, 0
    for (outcome, reason, log, link), cells in groups.items():
        made = _failure(outcome, log_text(reason), log_text(log), link, cells)
        written += len(made.reason or "") + len(made.log or "")
        if written > LOGS_LIMIT and (made.reason or made.log):
            made, left_out = made._replace(reason=None, log=None), left_out + 1
        found.append(made)
    return [f for f in found if f.outcome != UNSUPPORTED], [f for f in found if f.outcome == UNSUPPORTED], left_out


def _failure(outcome: str, reason: str, log: str, link: str | None, cells: list[str]) -> Failure:
    headline = first_line(reason)
    return Failure(
        outcome, headline or "no reason was given", cells,
        reason=reason[:REASON_LIMIT] if reason.strip() != headline and reason.strip() not in log else None,
        log=log if log.strip() and log.strip() not in reason else None,
        link=link if link and link.startswith("https://") else None,
    )  # fmt: skip
