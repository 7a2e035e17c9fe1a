"""Runs collected in one file: nothing doubled, nothing overwritten, and what is no store is one line."""

import subprocess
import sys

import duckdb
import pytest

from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.report import markdown, write
from orchestrator.results import merge, store
from orchestrator.results.journal import Journal
from orchestrator.results.merge import merge_results
from orchestrator.results.store import Receipt
from tests.support.contenders import cell
from tests.support.results_directory import Results, results
from tests.support.terminal_output import complaint

A, B = cell("alpha"), cell("beta")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "results.duckdb"


@pytest.fixture
def two(tmp_path):
    later = {"hostname": "other", "time": "2025-01-02T00:00:00+00:00"}
    return [results(tmp_path / "one", [A]), results(tmp_path / "two", [A, B], **later)]


def add(file, *paths):
    return store.append(file, [part for path in paths for part in merge.split(merge.load(path), path)])


def test_what_was_stored_is_what_a_merge_gives(file, two):
    assert add(file, *two) == Receipt(added=2, known=0, runs=2, rows=3)
    assert merge.load(file) == merge_results(two)


def test_a_single_run_keeps_its_limits_and_reference(file, two):
    summary = {**merge.load(two[0]), "limits": {"matmul": {}}, "reference": {"engine": "alpha"}}
    store.append(file, merge.split(summary, two[0]))
    assert merge.load(file)["limits"] == {"matmul": {}}
    assert merge.load(file)["reference"] == {"engine": "alpha"}


def test_a_run_is_stored_once_whichever_way_it_comes(file, two, tmp_path):
    add(file, two[0])
    merged = tmp_path / "merged"
    merged.mkdir()
    write.write(merged, merge_results(two))
    moved = two[0].rename(tmp_path / "moved")
    assert add(file, moved, merged, moved) == Receipt(added=1, known=3, runs=2, rows=3)


def test_a_run_that_was_resumed_is_added_in_its_longer_state(file, tmp_path):
    made = Results(tmp_path / "run").run([A, B]).plan(A, ["k"]).launch(A, 0, "k").plan(B, ["k"])
    add(file, made.end("interrupted"))
    assert [row["outcome"] for row in merge.load(file)["rows"]] == ["ok", "interrupted"]
    made.journal = Journal(made.directory)
    resumed = made.launch(B, 0, "k").end()
    assert add(file, resumed) == Receipt(added=1, known=0, runs=1, rows=2)
    assert [row["outcome"] for row in merge.load(file)["rows"]] == ["ok", "ok"]
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM rows").fetchall() == [(4,)]  # the earlier state is still there


def test_columns_for_sql(file, two):
    add(file, *two)
    with duckdb.connect(str(file), read_only=True) as connection:
        found = connection.execute(
            "SELECT engine, machine, decode_tps_median, \"row\"->>'$.title' FROM latest ORDER BY ALL"
        ).fetchall()
        assert connection.execute("SELECT DISTINCT started FROM runs").fetchall()[0][0].year == 2025
    assert [line[:2] for line in found] == [("alpha", "box"), ("alpha", "other"), ("beta", "other")]
    assert found[0][2] == pytest.approx(100) and found[0][3] == "Alpha"


def test_other_work_under_the_same_name_is_kept_apart(file, tmp_path):
    one, two = results(tmp_path / "one", [A], workload="w1"), results(tmp_path / "two", [A], workload="w2")
    add(file, one, two)
    assert markdown.render(merge.load(file)).count("### Decode speed") == 2


def test_a_failure_adds_nothing(file, two):
    add(file, two[0])
    third = results(two[0].parent / "three", [B])
    parts = [part for path in (third, two[1]) for part in merge.split(merge.load(path), path)]
    parts[1].rows[0]["caveat"] = object()  # the second run is no JSON
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.append(file, parts)
    assert len(merge.load(file)["runs"]) == 1


def test_a_summary_of_an_earlier_version_is_known_by_what_it_says(file, two):
    summary = merge.load(two[0])
    for key in ("run_id", "journal"):
        del summary["run"][key]
    for row in summary["rows"]:
        del row["run_id"]
    parts = merge.split(summary, two[0])
    assert [store.append(file, parts).added for _ in range(2)] == [1, 0]
    assert merge.split(merge.load(file), file)[0].rows[0]["engine"] == "alpha"


def foreign(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE theirs (x INTEGER)")


def other_schema(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute(store.TABLES)
        connection.execute("UPDATE meta SET store_schema = 9")


def without_runs(path):
    with duckdb.connect(str(path)) as connection:
        connection.execute(store.TABLES)


@pytest.mark.parametrize(("make", "message"), [
    (lambda path: path.write_text("engine,tps\n" * 1000), "cannot be used as a store of results: "),
    (lambda path: path.write_bytes(b""), "cannot be used as a store of results: "),
    (foreign, "is a DuckDB file, but not of results: name one that `merge --store` wrote"),
    (other_schema, "has store schema 9 and summary schema 1, this suite reads 1 and 1: make a new store"),
])  # fmt: skip
def test_what_is_no_store_is_one_line_and_stays_as_it_is(call, file, two, make, message):
    make(file)
    before = file.read_bytes()
    for command in (["report", file], ["merge", two[0], "--store", file]):
        line = complaint(call(*command))
        assert str(file) in line and message in line
    assert file.read_bytes() == before


def test_a_store_without_runs_says_how_to_add_some(file):
    without_runs(file)
    with pytest.raises(UserError, match="holds no run: add some with"):
        merge.load(file)


def test_a_damaged_store_is_one_line(file, two):
    add(file, *two)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 3])
    with pytest.raises(UserError, match="cannot be used as a store of results") as refused:
        merge.load(file)
    assert "\n" not in str(refused.value)


def test_a_store_in_use_is_one_line(file, two):
    add(file, two[0])
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import duckdb; c = duckdb.connect({str(file)!r}); print(1, flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    holder.stdout.readline()
    with pytest.raises(UserError, match="is in use by another process: wait"):
        add(file, two[1])
    holder.communicate(b"\n")
    assert add(file, two[1]).added == 1


def test_choose_and_compare_read_a_store(call, tmp_path):
    files = []
    for name in ("before", "after"):
        directory = results(tmp_path / name, [A], 5)
        files.append(tmp_path / f"{name}.duckdb")
        add(files[-1], directory)
    code, out, _ = call("choose", files[0])
    assert code == 0 and "pick: Alpha float32" in out
    code, out, errors = call("compare", *files, "--no-anchor")
    assert (code, errors) == (0, []) and "no difference shown" in out


def test_nothing_but_the_result_is_printed(file, two):
    """DuckDB's bindings leave no noise at exit."""
    for command in (["merge", *two, "--store", file], ["report", file, "--history"]):
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *map(str, command)], cwd=ROOT, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert done.stderr == "" and done.stdout
