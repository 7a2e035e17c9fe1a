"""A results directory in the repository, and all that the suite makes of it: the summary and the report, whole.

tests/unit/golden/README.md says what the directory holds, and how the expected files are written anew.
"""

import json
import os
from pathlib import Path

import pytest

from orchestrator.report import markdown, write
from orchestrator.results.summary import summarise

GOLDEN = Path(__file__).parent / "golden"
RUN = GOLDEN / "run"
UPDATE = "BENCH_UPDATE_GOLDEN"


@pytest.fixture(scope="module")
def summary():
    """The summary of the golden run; where the checkout lies is no part of what is compared."""
    made = summarise(RUN)
    assert made["run"]["directory"] == str(RUN.resolve())
    made["run"]["directory"] = "results/golden"
    return made


def expect(name, text):
    """The expected text of a file; with BENCH_UPDATE_GOLDEN set it becomes `text`."""
    path = GOLDEN / name
    if os.environ.get(UPDATE):
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def test_the_summary_is_the_golden_one(summary):
    text = json.dumps(summary, indent=1, sort_keys=True, allow_nan=False) + "\n"
    assert json.loads(text) == json.loads(expect("summary.json", text))


def test_the_order_of_a_row_s_fields_is_kept(summary):
    """summary.csv's columns stand in this order; a spreadsheet that reads them by position relies on it."""
    text = "".join(f"{column}\n" for column in write.frame(summary["rows"]).columns)
    assert text == expect("columns.txt", text)


def test_the_report_is_the_golden_one(summary):
    text = markdown.render(summary)
    assert text == expect("report.md", text)


def test_the_golden_run_holds_every_kind_of_row(summary):
    """Were the run cut down, the comparisons above would still hold, and prove less."""
    rows = summary["rows"]
    assert {row["outcome"] for row in rows} == {"ok", "load_failed", "unsupported", "interrupted"}
    assert len({row["engine"] for row in rows}) == 2 and len({row["batch_size"] for row in rows}) == 2
    assert {row["launches"] for row in rows} == {0, 2, 3, 5} and max(row["repeated_launches"] for row in rows) == 1
    assert any(row["log_tail"] for row in rows) and any(row["own_benchmark"] for row in rows)
    assert {flag for row in rows for flag in row["flags"]} >= {"noisy_host", "ready_made", "caveat", "unverified"}
    given = {name for row in rows for name, value in row.items() if value is not None}
    assert {name for row in rows for name in row} - given <= {"itl_p90_s", "itl_p99_s"}
