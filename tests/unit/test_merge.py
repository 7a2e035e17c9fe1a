"""Several results directories in one, and never two workloads in one table."""

import json

import pytest
from made_up import Results, cell, results

from orchestrator import merge, report
from orchestrator.errors import UserError

A, B = cell("alpha"), cell("beta")


@pytest.fixture
def two(tmp_path):
    return [results(tmp_path / "one", [A]), results(tmp_path / "two", [B], hostname="other")]


def test_rows_of_both_with_where_they_come_from(two):
    merged = merge.merge(two)
    assert [(row["engine"], row["source"]) for row in merged["rows"]] == [("alpha", str(two[0])), ("beta", str(two[1]))]
    assert [run["hostname"] for run in merged["runs"]] == ["box", "other"]


def test_one_table_tells_the_machines_apart(two):
    text = report.render(merge.merge(two))
    assert text.count("### Decode speed") == 1
    assert "Alpha · box" in text
    assert "Beta · other" in text


def test_a_merged_directory_is_reported_and_merged_again(two, tmp_path):
    third = results(tmp_path / "three", [cell("gamma")])
    whole = tmp_path / "merged"
    whole.mkdir()
    merged = merge.merge(two)
    report.write(whole, merged)
    assert merge.load(whole) == merged
    assert report.render(merge.load(whole)) == (whole / "report.md").read_text()
    again = merge.merge([whole, third])
    assert [row["source"] for row in again["rows"]] == [str(two[0]), str(two[1]), str(third)]
    assert len(again["runs"]) == 3
    assert "Gamma" in report.render(again)


def test_the_journal_comes_before_the_summary_beside_it(two):
    report.write(two[0], {"schema": 1, "run": merge.load(two[0])["run"], "limits": None, "rows": []})
    assert len(merge.load(two[0])["rows"]) == 1


def test_other_work_under_the_same_name_is_refused(tmp_path):
    one, two = results(tmp_path / "one", [A], workload="w1"), results(tmp_path / "two", [B], workload="w2")
    with pytest.raises(UserError) as refused:
        merge.merge([one, two])
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith("not merged: rows for m, batch 1, 4 + 3 tokens did different work")
    assert f"{one} has w1" in message
    assert f"{two} has w2" in message


def test_one_differing_directory_of_three_is_found(tmp_path, two):
    odd = results(tmp_path / "odd", [cell("gamma")], workload="w2")
    with pytest.raises(UserError, match="odd has w2"):
        merge.merge([*two, odd])


def test_other_shapes_and_models_get_tables_of_their_own(tmp_path):
    small = results(tmp_path / "one", [A], workload="w1")
    wide = results(tmp_path / "two", [cell("alpha", shape=(8, 4, 3))], workload="w2")
    other = results(tmp_path / "three", [A], workload="w3", model="n")
    assert report.render(merge.merge([small, wide, other])).count("### Decode speed") == 3


def test_a_cell_that_never_got_a_workload_hinders_nobody(tmp_path, two):
    made = Results(tmp_path / "failed").run([cell("gamma")])
    made.journal.append("cell_end", label=cell("gamma").label, outcome="build_failed", reason="no compiler")
    merged = merge.merge([*two, made.end()])
    assert [row["outcome"] for row in merged["rows"]] == ["ok", "ok", "build_failed"]
    assert report.render(merged).count("### Decode speed") == 1  # it joins the table of its shape


@pytest.mark.parametrize(("content", "message"), [
    (None, "holds neither journal.jsonl nor summary.json"), ("{", "is not valid JSON"), ("[]", "has schema None"),
    (json.dumps({"schema": 99}), "has schema 99, this suite reads schema 1"),
])  # fmt: skip
def test_what_is_no_results_directory(tmp_path, content, message):
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        merge.merge([tmp_path])
    assert str(tmp_path) in str(refused.value)
