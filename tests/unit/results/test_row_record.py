"""A row as a record: read back from every summary there is, and written as it was."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.results.metrics.registry import METRICS, summarised
from orchestrator.results.row_record import GROUPS, RowRecord

GOLDEN = Path(__file__).parent / "golden" / "summary.json"
PUBLISHED = sorted((ROOT / "results" / "published").glob("*/summary.json"))


@pytest.mark.parametrize("path", [GOLDEN, *PUBLISHED], ids=lambda path: path.parent.name)
def test_every_row_comes_back_as_it_was(path):
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    for row in rows:
        again = RowRecord.from_json(row).as_json()
        assert {name: value for name, value in again.items() if name in row} == row
        assert all(again[name] is None for name in again.keys() - row.keys())  # an earlier version did not say it


def test_figures_are_typed():
    row = next(row for row in json.loads(GOLDEN.read_text(encoding="utf-8"))["rows"] if row["outcome"] == "ok")
    record = RowRecord.from_json(row)
    assert record.speed.decode_tps.low == row["decode_tps"]["low"]
    assert record.ending.outcome == "ok" and record.memory.weights_mib == row["weights_mib"]


def test_what_no_group_has_comes_last():
    record = RowRecord.from_fields({"source": "d", "engine": "alpha"})
    assert record.more == {"source": "d"} and list(record.as_json())[-1] == "source"


def test_every_metric_has_its_field_and_every_summary_its_type():
    declared = {each.name: str(each.type) for group in GROUPS.values() for each in fields(group)}
    assert {metric.field.partition(".")[0] for metric in METRICS.values() if metric.field} <= declared.keys()
    assert {metric.field for metric in summarised()} == {name for name, kind in declared.items() if kind == "Figure"}
