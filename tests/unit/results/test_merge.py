"""Several results directories in one, and never two workloads in one table."""

import json
import shutil

import pytest

from orchestrator.base.errors import UserError
from orchestrator.report import markdown, write
from orchestrator.results import merge
from orchestrator.results.journal import Journal
from orchestrator.results.merge import merge_results
from orchestrator.results.row import contender, telling
from tests.support.contenders import cell
from tests.support.results_directory import Results, results
from tests.support.terminal_output import complaint

A, B = cell("alpha"), cell("beta")


@pytest.fixture
def two(tmp_path):
    return [results(tmp_path / "one", [A]), results(tmp_path / "two", [B], hostname="other")]


def test_rows_of_both_with_where_they_come_from(two):
    merged = merge_results(two)
    assert [(row["engine"], row["source"]) for row in merged["rows"]] == [("alpha", str(two[0])), ("beta", str(two[1]))]
    assert [run["hostname"] for run in merged["runs"]] == ["box", "other"]


def test_one_table_tells_the_machines_apart(two):
    text = markdown.render(merge_results(two))
    assert text.count("### Decode speed") == 1
    assert "Alpha · box" in text
    assert "Beta · other" in text


def test_runs_of_one_machine_are_told_apart_by_time_or_version(tmp_path):
    paths = [results(tmp_path / str(day), [A], time=f"2025-01-0{day}T00:00:00+00:00") for day in (1, 2)]
    rows = merge_results(paths)["rows"]
    keys = telling(rows)
    assert [contender(row, keys) for row in rows] == [
        "Alpha · 2025-01-01 00:00:00", "Alpha · 2025-01-02 00:00:00",
    ]  # fmt: skip
    rows[1]["engine_version"] = "1.1"
    assert telling(rows) == ("engine_version",)


def test_a_run_that_is_there_twice_counts_once(two, tmp_path):
    said = []
    copy = shutil.copytree(two[0], tmp_path / "copy")
    merged = merge_results([*two, copy], said.append)
    assert [row["engine"] for row in merged["rows"]] == ["alpha", "beta"]
    assert said == [f"{copy} holds a run that is there already ({two[0]}): counted once"]


def test_of_a_run_in_two_states_the_later_counts(tmp_path):
    made = Results(tmp_path / "run").run([A, B]).plan(A, ["k"]).launch(A, 0, "k").plan(B, ["k"])
    early = shutil.copytree(made.end("interrupted"), tmp_path / "early")
    made.journal = Journal(made.directory)
    late = made.launch(B, 0, "k").end()
    for order in ([early, late], [late, early]):
        assert [row["outcome"] for row in merge_results(order)["rows"]] == ["ok", "ok"]


def test_a_merged_directory_is_reported_and_merged_again(two, tmp_path):
    third = results(tmp_path / "three", [cell("gamma")])
    whole = tmp_path / "merged"
    whole.mkdir()
    merged = merge_results(two)
    write.write(whole, merged)
    assert merge.load(whole) == merged
    assert markdown.render(merge.load(whole)) == (whole / "report.md").read_text()
    again = merge_results([whole, third])
    assert [row["source"] for row in again["rows"]] == [str(two[0]), str(two[1]), str(third)]
    assert len(again["runs"]) == 3
    assert "Gamma" in markdown.render(again)


def test_the_journal_comes_before_the_summary_beside_it(two):
    write.write(two[0], {"schema": 1, "run": merge.load(two[0])["run"], "limits": None, "rows": []})
    assert len(merge.load(two[0])["rows"]) == 1


def test_other_work_under_the_same_name_is_refused(tmp_path):
    one, two = results(tmp_path / "one", [A], workload="w1"), results(tmp_path / "two", [B], workload="w2")
    with pytest.raises(UserError) as refused:
        merge_results([one, two])
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith("not merged: rows for m, batch 1, 4 + 3 tokens did different work")
    assert f"{one} has w1" in message
    assert f"{two} has w2" in message
    assert "the model is the same, the prompts differ" in message


def test_a_refusal_names_the_model_whose_files_differ(tmp_path):
    paths = [results(tmp_path / name, [A], workload=name) for name in ("w1", "w2")]
    summary = merge.load(paths[1])
    summary["run"]["model"]["digest"] = "e" * 64
    (tmp_path / "other").mkdir()
    write.write(tmp_path / "other", summary)
    with pytest.raises(UserError, match=rf"the model's files differ \(sha256 {'d' * 12}, {'e' * 12}\)"):
        merge_results([paths[0], tmp_path / "other"])


def test_nothing_is_written_where_a_merge_is_refused(call, tmp_path):
    paths = [results(tmp_path / name, [A], workload=name) for name in ("w1", "w2")]
    complaint(call("merge", *paths, "--out", tmp_path / "out", "--store", tmp_path / "file.duckdb"))
    assert not (tmp_path / "out").exists() and not (tmp_path / "file.duckdb").exists()


def test_merge_says_what_it_did_as_json(call, two, tmp_path):
    arguments = (*two, two[0], "--out", tmp_path / "out", "--store", tmp_path / "file.duckdb", "--format", "json")
    code, out, errors = call("merge", *arguments)
    said = json.loads(out)
    assert (code, errors, said["rows"], len(said["notes"])) == (0, [], 2, 1)
    assert said["store"] == {"file": str(tmp_path / "file.duckdb"), "added": 2, "known": 1, "runs": 2, "rows": 2}
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == merge.load(tmp_path / "file.duckdb")


def test_merge_needs_a_place(call, two):
    assert complaint(call("merge", *two)).startswith("say where to: --out DIR")


def test_a_damaged_journal_is_one_line_and_a_torn_end_is_left_out(call, two):
    journal_file = two[0] / "journal.jsonl"
    whole = journal_file.read_bytes()
    journal_file.write_bytes(whole[:-10])
    assert call("report", two[0], "--table", "interval")[0] == 0
    journal_file.write_bytes(whole.replace(b'"kind"', b'"kin', 1))
    assert "journal.jsonl line 1 is damaged (" in complaint(call("report", two[0]))
    journal_file.write_bytes(b"")
    assert complaint(call("report", two[0])).endswith("journal.jsonl holds no run")


def test_one_differing_directory_of_three_is_found(tmp_path, two):
    odd = results(tmp_path / "odd", [cell("gamma")], workload="w2")
    with pytest.raises(UserError, match="odd has w2"):
        merge_results([*two, odd])


def test_other_shapes_and_models_get_tables_of_their_own(tmp_path):
    small = results(tmp_path / "one", [A], workload="w1")
    wide = results(tmp_path / "two", [cell("alpha", shape=(8, 4, 3))], workload="w2")
    other = results(tmp_path / "three", [A], workload="w3", model="n")
    assert markdown.render(merge_results([small, wide, other])).count("### Decode speed") == 3


def test_a_cell_that_never_got_a_workload_hinders_nobody(tmp_path, two):
    made = Results(tmp_path / "failed").run([cell("gamma")])
    made.journal.append("cell_end", label=cell("gamma").label, outcome="build_failed", reason="no compiler")
    merged = merge_results([*two, made.end()])
    assert [row["outcome"] for row in merged["rows"]] == ["ok", "ok", "build_failed"]
    assert markdown.render(merged).count("### Decode speed") == 1  # it joins the table of its shape


@pytest.mark.parametrize(("content", "message"), [
    (None, "holds neither journal.jsonl nor summary.json"), ("{", "is not valid JSON"), ("[]", "has schema None"),
    (json.dumps({"schema": 99}), "has schema 99, this suite reads schema 1"),
    (json.dumps({"schema": 1}), r"is damaged \(run: expected this key, which is missing\)"),
])  # fmt: skip
def test_what_is_no_results_directory(tmp_path, content, message):
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        merge_results([tmp_path])
    assert str(tmp_path) in str(refused.value)
