"""Tables to paste: the same cells in every format, and nothing in them that acts where it is pasted."""

import csv
import io
import json
import re
import sys

import pandas as pd
import pytest

from orchestrator.base import escape, stats
from orchestrator.base.errors import UserError
from orchestrator.plan.cells import Cell, Shape
from orchestrator.report import exports, static_charts, write
from orchestrator.report.tables import relative
from orchestrator.results import merge
from orchestrator.results.merge import merge_results
from orchestrator.results.summary import summarise
from tests.support.contenders import cell, engine, variant
from tests.support.markdown_reports import HOSTILE, table_after
from tests.support.results_directory import Results, results
from tests.support.terminal_output import complaint

MS = 1_000_000
FORMULA = '=HYPERLINK("http://example.org";"x")'
LATEX = r"\input{/etc/passwd} 50% $x$ a_b {c} #1 ~ ^ & [1] <i>"


def steps(factor):
    return lambda block, _iteration: [int(10 * MS + n * factor * MS * (1 + block / 500)) for n in range(3)]


def named(text, name="alpha"):
    return Cell(engine(name, [variant("float32")], title=text), variant("float32"), Shape(1, 4, 3))


def on(directory, device, factor, launches=5, machine="box", cells=None):
    kind = {"kind": device, "name": f"Some {device}", "ids": ["x"], "key": "x", "detail": {}}
    cells = cells or [cell("alpha")]
    return results(directory, cells, launches, steps=steps(factor), device=kind, hostname=machine)


@pytest.fixture
def directory(tmp_path):
    alpha = engine("alpha", [variant("float32"), variant("q8", precision="int8")])
    cells = [Cell(alpha, each, Shape(1, 4, 3)) for each in alpha.variants.values()]
    return results(tmp_path / "r", [*cells, cell("beta")], 5, steps=steps(5))


# -- formats -----------------------------------------------------------------------------------------------------------


def test_the_same_cells_in_every_format(call, directory):
    said = {form: call("report", directory, "--table", "interval", "--format", form)[1] for form in exports.FORMATS}
    head, line = ["Engine", "float32", "int8"], ["Alpha", "199 [198, 200]", "199 [198, 200] (q8)"]
    assert table_after(said["markdown"], "### Decode tokens/s, median")[:2] == [
        head, [each.replace("[", "\\[").replace("]", "\\]") for each in line],
    ]  # fmt: skip
    rows = list(csv.reader(io.StringIO(said["csv"])))
    title = "m: batch 1, 4 prompt + 3 new tokens"
    assert rows[:2] == [["Table", "Of", *head, "About"], ["interval", title, *line, ""]]
    (table,) = json.loads(said["json"])["tables"]
    assert (table["columns"], table["rows"][0]) == (head, dict(zip(head, line, strict=True)))
    assert "Alpha & 199 [198, 200] & 199 [198, 200] (q8) \\\\" in said["latex"]
    assert said["table"].splitlines()[0] == f"Decode tokens/s, median of launches [interval]: {title}"


def test_without_a_table_data_formats_give_the_rows(call, directory):
    summary = json.loads(call("report", directory, "--format", "json")[1])
    assert summary == merge.load(directory)
    frame = pd.read_csv(io.StringIO(call("report", directory, "--format", "csv")[1]))
    assert list(frame["decode_tps.level"]) == [0.9375] * 3


def test_all_tables_and_the_support_matrix(call, directory):
    text = call("report", directory, "--format", "markdown")[1]
    for heading in ("Decode tokens/s, mean", "Settings", "Data types", "Evidence", "Support matrix: cpu"):
        assert f"### {heading}" in text
    assert "CPU against accelerator" not in text and "History" not in text
    assert re.search(r"^\[1\]|^\\\[1\\\]", text, re.MULTILINE)  # footnotes


def test_every_csv_block_is_a_table_of_its_own(call, directory):
    text = call("report", directory, "--format", "csv", "--table", "all")[1]
    for block in text.split("\n\n"):
        rows = list(csv.reader(io.StringIO(block)))
        assert {len(row) for row in rows} == {len(rows[0])} and rows[0][0] == "Table"
        assert len({row[0] for row in rows[1:]}) == 1


def test_support_notes_stand_beside_their_rows(call, directory):
    text = call("report", directory, "--format", "csv", "--table", "support")[1]
    for row in csv.DictReader(io.StringIO(text)):
        marks = set(re.findall(r"\[\d+\]", "".join(row[key] for key in row if key != "About")))
        assert all(mark in row["About"] for mark in marks)


def test_to_a_file_that_is_not_there_yet(call, directory, tmp_path):
    out = tmp_path / "speed.tex"
    arguments = ("report", directory, "--format", "latex", "--table", "speed", "--out", out)
    assert call(*arguments)[0] == 0
    before = out.read_text()
    assert before.count("\\begin{table}") == 1
    assert complaint(call(*arguments)).endswith("is there already: remove it, or name another --out")
    assert out.read_text() == before


@pytest.mark.parametrize(("arguments", "message"), [
    (["--table", "sped"], "unknown table 'sped': did you mean 'speed'?"),
    (["--table", "devices"], "--table devices has no line here: no variant ran on both"),
    (["--table", "machines"], "--table machines has no line here: the results are of one machine"),
    (["--baseline", "alpha"], "unknown baseline 'alpha': did you mean 'alpha:"),
    (["--format", "png"], "--format png writes a file for each chart: name a directory"),
    (["--format", "svg", "--out", "x", "--table", "speed"], "--format svg writes charts: "),
    (["--history", "--table", "speed"], "--history is --table history: leave --table speed away"),
    (["--format", "word"], "Invalid value for '--format'"),
    (["--format", "csv", "--out", "no/where.csv"], "no is no directory: make it"),
])  # fmt: skip
def test_a_mistake_is_one_line(call, directory, arguments, message):
    assert complaint(call("report", directory, *arguments)).startswith(message)


# -- hostile text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [HOSTILE, FORMULA, LATEX, "@SUM(1)", "a\x1b[2Jb", "[1]\n\n[2]", "x" * 500, "\\", ""])
def test_hostile_names_stay_text(tmp_path, text):
    made = Results(tmp_path / "r").run([named(text)], model=text).plan(named(text), ["k"])
    made.launch(named(text), 0, "k", "engine_error", text)
    summary = summarise(made.end())
    found = [each for name in ("speed", "settings", "failures") for each in exports.collect(summary, [], name)]
    pasted = exports.as_latex(found)
    commands = set(re.findall(r"\\[a-zA-Z]+", pasted))
    assert commands <= {
        "\\usepackage", "\\begin", "\\end", "\\caption", "\\toprule", "\\midrule", "\\bottomrule", "\\textbackslash",
        "\\textasciitilde", "\\ensuremath",
    }  # fmt: skip
    body = re.sub(r"\\[\\&%$#_{}^]|\\[a-zA-Z]+", "", pasted)
    assert body.count("{") == body.count("}")
    assert not re.search(r"[$#]|(?<!\A)%", body)
    assert not re.search(r"(\\\\|rule)\s*[\[*]", pasted)  # these would be arguments
    for row in csv.reader(io.StringIO(exports.as_csv(found))):
        assert not any(each.startswith(("=", "+", "@", "\t", "\r")) for each in row)
    assert json.loads(exports.as_json(found))["tables"][0]["rows"][0]["Engine"] == text
    assert "\x1b" not in exports.as_table(found)
    markdown = exports.as_markdown(found)
    assert "<script" not in markdown and "\n# " not in markdown


@pytest.mark.parametrize(("text", "kept"), [
    ("=1+1", "'=1+1"), ("+x", "'+x"), ("-x", "'-x"), ("@x", "'@x"), ("\tx", "'\tx"), ("＝x", "'＝x"), ("-", "-"),
    ("-1.5", "-1.5"), ("x=1", "x=1"), (-1.5, -1.5), (None, None),
])  # fmt: skip
def test_no_cell_is_a_formula(text, kept):
    frame = pd.DataFrame([[text]], columns=["a"], dtype=object)
    (line,) = list(csv.reader(io.StringIO(escape.csv_text(frame))))[1:] or [[""]]
    assert line == [] or line[0] == ("" if kept is None else str(kept))


def test_summary_csv_holds_no_formula(tmp_path):
    summary = summarise(results(tmp_path / "r", [named(FORMULA)]))
    write.write(tmp_path, summary)
    with (tmp_path / "summary.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["title"] == "'" + FORMULA


# -- relative tables ---------------------------------------------------------------------------------------------------


def test_settings_against_the_baseline_asked_for(directory):
    rows = merge.load(directory)["rows"]
    for row, factor in zip(rows, (1, 2, 4), strict=True):
        row["e2e_tps"]["mean"], row["peak_host_mib"] = 100.0 * factor, 50.0 * factor
    table = relative.settings(rows, "alpha:q8")
    assert list(table["Speed X"]) == ["0.5", "1", "2"]
    assert list(table["Max mem %"]) == ["50 %", "100 %", "200 %"]
    assert relative.settings_note(rows, "alpha:q8").endswith("relative to Alpha q8.")
    assert list(relative.settings(rows)["Speed X"]) == ["1", "2", "4"]


def test_memory_of_a_device_is_not_compared_with_a_host_s(directory):
    rows = merge.load(directory)["rows"]
    rows[1].update(device="cuda", peak_device_mib=500.0)
    rows[2].update(device="cuda", peak_device_mib=None)
    table = relative.settings(rows)
    assert list(table["Max Mem"]) == ["100 MiB", "500 MiB", "100 MiB (host)"]
    assert list(table["Max mem %"]) == ["100 %", "-", "100 %"]


def test_data_types_against_the_engine_s_own_most_precise(tmp_path):
    alpha = engine("alpha", [variant("q8", precision="int8"), variant("half", precision="float16")])
    cells = [Cell(alpha, each, Shape(1, 4, 3)) for each in alpha.variants.values()]
    rows = merge.load(results(tmp_path / "r", cells, 5, steps=steps(5)))["rows"]
    rows[0]["decode_tps"] = stats.summary([value * 2 for value in rows[1]["decode_tps"]["values"]], [1.0]).as_json()
    table = relative.precisions(rows)
    assert table[["Data type", "Speed-up", "Verdict"]].to_numpy().tolist() == [
        ["float16", "1", "baseline"], ["int8", "2.000 [2.000, 2.000]", "faster"],
    ]  # fmt: skip
    assert list(relative.precisions(rows, "alpha:q8")["Verdict"]) == ["slower", "baseline"]
    assert list(relative.precisions(rows, "beta:q8")["Speed-up"]) == ["-", "-"]


def test_machines_are_columns(tmp_path):
    merged = merge_results([on(tmp_path / "a", "cpu", 5), on(tmp_path / "b", "cpu", 10, machine="other")])
    table = relative.machines(merged["rows"])
    assert list(table.columns) == ["Engine", "Variant", "box", "other"]
    assert table.to_numpy().tolist() == [["Alpha", "float32", "199 [198, 200]", "99.6 [99.2, 100]"]]


def test_runs_of_one_machine_share_a_cell_with_their_times(tmp_path):
    paths = [
        on(tmp_path / "a", "cpu", 5),
        on(tmp_path / "b", "cpu", 10),
        on(tmp_path / "c", "cpu", 10, machine="other"),
    ]
    table = relative.machines(merge_results(paths)["rows"])
    assert table["box"][0].splitlines() == [
        "199 [198, 200] (1.0, 2025-01-01 00:00:00)", "99.6 [99.2, 100] (1.0, 2025-01-01 00:00:00)",
    ]  # fmt: skip


def test_cpu_against_accelerator_with_runs_and_outliers(tmp_path):
    both = merge_results([on(tmp_path / "a", "cpu", 10), on(tmp_path / "b", "cuda", 5, machine="gpu box")])["rows"]
    both[0]["decode_tps"]["values"] = [100.0, 101.0, 99.0, 100.0, 300.0]
    both[1]["decode_tps"]["values"] = [400.0] * 5
    (line,) = relative.cpu_against_accelerator(both).to_dict("records")
    assert [line[key] for key in ("CPU Tok/s", "CPU Runs", "CPU Outliers")] == ["100", "5", "1"]
    assert [line[key] for key in ("Accelerator", "Accelerator Tok/s", "Accelerator Outliers", "Speed X")] == [
        "Some cuda (gpu box)", "400", "0", "4.00",
    ]  # fmt: skip


def test_the_cpu_of_the_same_machine_comes_first(tmp_path):
    paths = [on(tmp_path / "a", "cpu", 10, machine="far"), on(tmp_path / "b", "cpu", 10), on(tmp_path / "c", "cuda", 5)]
    table = relative.cpu_against_accelerator(merge_results(paths)["rows"])
    assert list(table["CPU"]) == ["Some cpu (box)"]


@pytest.mark.parametrize(("values", "kept"), [
    ([1.0, 2.0, 3.0, 4.0, 100.0], [1.0, 2.0, 3.0, 4.0]), ([1.0, 2.0, 3.0, 100.0], [1.0, 2.0, 3.0, 100.0]),
    ([5.0] * 6, [5.0] * 6), ([1.0, 2.0, 3.0, 4.0, 7.0], [1.0, 2.0, 3.0, 4.0, 7.0]),
    ([1.0, 2.0, 3.0, 4.0, 7.1], [1.0, 2.0, 3.0, 4.0]),
])  # fmt: skip
def test_tukey_s_fences(values, kept):
    """Of 1, 2, 3, 4, x the quartiles are 2 and 4: the fences stand at -1 and 7."""
    assert stats.within_fences(values) == kept


# -- charts ------------------------------------------------------------------------------------------------------------


def test_charts_without_the_package_say_what_to_install(directory, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(UserError, match="need the package kaleido and a Chromium"):
        static_charts.write(tmp_path / "charts", merge.load(directory), "png")


def test_a_file_for_each_chart_that_has_something_to_draw(directory, tmp_path, monkeypatch):
    """What is handed to the renderer; the next test draws."""
    kaleido = pytest.importorskip("kaleido", reason="kaleido is not installed")
    taken = []
    monkeypatch.setattr(kaleido, "write_fig_from_object_sync", lambda figures, **_: taken.extend(figures))
    paths, lacking = static_charts.write(tmp_path / "charts", merge.load(directory), "svg")
    assert [each["path"] for each in taken] == [str(path) for path in paths]
    assert "memory-speed.svg" in {path.name for path in paths} and len(set(paths)) == len(paths)
    assert any(line.startswith("Speed against quality: ") for line in lacking)
    assert all(each["fig"]["layout"]["paper_bgcolor"] == "white" for each in taken)


def test_pictures_are_drawn(directory, tmp_path):
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    from choreographer.browsers.chromium import Chromium  # noqa: PLC0415

    if not Chromium.find_browser(skip_local=True):
        pytest.skip("no Chromium on this host")
    paths, _ = static_charts.write(tmp_path / "charts", merge.load(directory), "png")
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in paths)
