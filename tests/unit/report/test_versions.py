"""An engine's line over versions and dates stays within one workload on one machine."""

import pytest

from orchestrator.report.charts.figures import draw_figures
from orchestrator.report.tables import versions
from orchestrator.results import merge, store
from tests.support.contenders import cell
from tests.support.results_directory import Results, loaded, result, results

A, B = cell("alpha"), cell("beta")


def measured(directory, day, version, cells=(A,), **run):
    made = Results(directory).run(list(cells), time=f"2025-01-{day:02}T10:00:00+00:00", **run)
    for each in cells:
        made.plan(each, ["k"]).launch(each, 0, "k", made_result=result(loaded=loaded(version=version)))
    return made.end()


@pytest.fixture
def stored(tmp_path):
    """Three runs on one machine, given in no order, and one on another."""
    paths = [
        measured(tmp_path / "c", 3, "1.1"), measured(tmp_path / "a", 1, "1.0", (A, B)),
        measured(tmp_path / "b", 2, "1.0"), measured(tmp_path / "d", 2, "1.0", hostname="other"),
    ]  # fmt: skip
    file = tmp_path / "results.duckdb"
    store.append(file, [part for path in paths for part in merge.split(merge.load(path), path)])
    return file


def test_lines_are_in_order_of_time_and_of_one_machine(stored):
    found = versions.lines(merge.load(stored)["rows"])
    assert [title.partition(" on ")[2] for title in found] == [
        "box, cpu, venv isolation (workload w1)", "other, cpu, venv isolation (workload w1)",
    ]  # fmt: skip
    here = versions.table(next(iter(found.values())))
    assert here[["Engine", "Version", "Date", "Of the one before"]].to_numpy().tolist() == [
        ["Alpha", "1.0", "2025-01-01 10:00:00", "-"], ["Alpha", "1.0", "2025-01-02 10:00:00", "1.00"],
        ["Alpha", "1.1", "2025-01-03 10:00:00", "1.00"], ["Beta", "1.0", "2025-01-01 10:00:00", "-"],
    ]  # fmt: skip


def test_other_work_is_another_line(tmp_path):
    paths = [results(tmp_path / name, [A], workload=name) for name in ("w1", "w2")]
    parts = [part for path in paths for part in merge.split(merge.load(path), path)]
    assert len(versions.lines(store.joined(parts)["rows"])) == 2


def test_a_run_without_a_figure_keeps_its_place_and_makes_no_ratio(stored):
    rows = merge.load(stored)["rows"]
    second = next(row for row in rows if row["run_started"].startswith("2025-01-02") and row["machine"] == "box")
    second.update(outcome="load_failed", reason="no kernel", decode_tps=None)
    table = versions.table(next(iter(versions.lines(rows).values())))
    assert list(table["Decode tok/s"])[:3] == ["100", "load_failed", "100"]
    assert list(table["Of the one before"])[:3] == ["-", "-", "-"]


def test_it_is_drawn_where_a_row_was_measured_twice(stored, tmp_path):
    figure = next(each for each in draw_figures(merge.load(stored)) if each.name == "history").figure
    (trace,) = figure["data"]
    assert trace["name"] == "Alpha float32" and trace["x"][0] == "2025-01-01 10:00:00"
    assert trace["text"] == ["v1.0", "", "v1.1"]
    alone = next(each for each in draw_figures(merge.load(tmp_path / "a")) if each.name == "history")
    assert alone.figure is None and "merge --store" in alone.lacking


def test_it_is_printed(call, stored):
    code, out, errors = call("report", stored, "--history")
    assert (code, errors) == (0, [])
    assert out.count("History: m: batch 1, 4 prompt + 3 new tokens on ") == 2
    assert "2025-01-03 10:00:00" in out
