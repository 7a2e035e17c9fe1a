"""The report: the tables people know, and nothing in them that a model or an engine could have slipped in."""

import io
import json
import re

import pandas as pd
import pytest

from orchestrator.base import escape
from orchestrator.base.outcomes import Flag
from orchestrator.plan.cells import Cell, Shape
from orchestrator.report import formatting, markdown, terminal_table, write
from orchestrator.report.tables.speed import grid
from orchestrator.results.summary import summarise
from tests.support.contenders import cell, engine, variant
from tests.support.markdown_reports import HOSTILE, table_after
from tests.support.results_directory import Results, result, results

MS = 1_000_000
SHAPE = Shape(1, 4, 3)


def cells():
    """alpha with two precisions, beta with one."""
    alpha = engine("alpha", [variant("float32"), variant("q8", precision="int8")])
    beta = engine("beta", [variant("float32")])
    return [Cell(each, made, SHAPE) for each in (alpha, beta) for made in each.variants.values()]


def steps(block, _iteration):
    return [10 * MS, (11 + block) * MS, (12 + 2 * block) * MS]


@pytest.fixture
def summary(tmp_path):
    return summarise(results(tmp_path / "r", cells(), 5, steps=steps))


def test_speed_is_engine_by_precision_with_its_interval(summary):
    assert table_after(markdown.render(summary), "### Decode speed") == [
        ["Engine", "float32", "int8"],
        ["Alpha", "333 \\[200, 1000\\]", "333 \\[200, 1000\\] (q8)"],
        ["Beta", "333 \\[200, 1000\\]", "-"],
    ]
    assert "level 0.9375" in markdown.render(summary)


def test_mean_and_std_stand_beside(summary):
    found = table_after(markdown.render(summary), "mean ± standard deviation")
    assert found[2] == ["Beta", "457 ± 306", "-"]  # of 1000, 500, 333, 250, 200, each twice


def test_memory(summary):
    assert table_after(markdown.render(summary), "### Memory")[2] == ["Beta", "0.00 / 100 + 1.00", "-"]


def test_settings(tmp_path):
    made = Results(tmp_path / "r").run(cells(), is_measurement=False)
    for number, each in enumerate(cells()):
        made.plan(each, ["k"])
        memory = {"peak_host_mib": 100.0 * (number + 1), "peak_mapped_file_mib": 1.0, "source": "test"}
        made.launch(each, 0, "k", "ok", made_result=result(memory=memory))
    found = table_after(markdown.render(summarise(made.end())), "### Settings")
    assert found[0] == ["Software", "Settings", "Avg Tok/s", "Max Mem", "Speed X", "Max mem %", "Notes"]
    assert found[1] == [
        "Alpha",
        "float32",
        "100",
        "100 MiB",
        "1",
        "100 %",
        Flag.NOT_A_MEASUREMENT.note,
    ]
    assert found[2][:6] == ["Alpha", "q8", "100", "200 MiB", "1", "200 %"]
    assert "**This is not a measurement**" in markdown.render(summarise(made.directory))


def test_the_matrix_and_the_environment_are_in_it(summary):
    text = markdown.render(summary, "THE MATRIX")
    assert re.search(r"^## Support matrix\n\nTHE MATRIX", text, re.MULTILINE)
    environment = {line[0]: line[1] for line in table_after(text, "## Environment") if len(line) == 2}
    assert environment["machine"] == "box"
    assert environment["CPU"] == "Example, 2 cores"
    assert environment["memory"] == "1024 MiB"
    assert "1000 parameters" in environment["model"]
    assert "venv:alpha-1" in text


def test_every_cell_without_a_number_is_listed_with_its_word_and_reason(tmp_path):
    made = Results(tmp_path / "r").run(cells())
    one, two, three = cells()
    made.journal.append("cell_end", label=one.label, outcome="unsupported", reason="no kernel")
    made.plan(two, ["k"]).launch(two, 0, "k", "load_failed", "Traceback (most recent call last):\n  x\nValueError: bad")
    summary = summarise(made.plan(three, ["k"]).launch(three, 0, "k").end())
    text = markdown.render(summary)
    assert table_after(text, "### Cells without a number")[1:] == [
        ["Alpha", "float32", "unsupported", "no kernel"],
        ["Alpha", "q8", "load\\_failed", "ValueError: bad"],
    ]
    assert table_after(text, "### Decode speed")[1] == ["Alpha", "unsupported", "load\\_failed (q8)"]
    assert len(re.findall("^## ", text, re.MULTILINE)) == 4  # one workload, limits, environment, one launch alone


def test_without_a_failure_there_is_no_such_table(summary):
    assert "Cells without a number" not in markdown.render(summary)


def test_a_run_in_which_nothing_worked_is_reported_too(tmp_path):
    made = Results(tmp_path / "r").run(cells(), model=None)
    for each in cells():
        made.journal.append("cell_end", label=each.label, outcome="fetch_failed", reason="no network")
    summary = summarise(made.end())
    write.write(tmp_path, summary)
    assert (tmp_path / "report.md").read_text().count("fetch\\_failed") >= 3
    assert "fetch_failed: no network" in terminal_table.terminal(summary)


def test_reproduction_lines_are_printed(summary):
    assert markdown.render(summary).count("```sh\n#!/bin/sh\necho again\n```") == 3


# -- files -------------------------------------------------------------------------------------------------------------


def test_csv_is_read_by_pandas(tmp_path, summary):
    write.write(tmp_path, summary)
    frame = pd.read_csv(tmp_path / "summary.csv")
    assert list(frame["engine"]) == ["alpha", "alpha", "beta"]
    assert list(frame["decode_tps.level"]) == [0.9375] * 3
    assert frame["decode_tps.median"][0] == pytest.approx(1000 / 3)
    assert list(frame["gates.precision"]) == ["pass"] * 3
    assert "reproduce_commands" not in frame


def test_the_summary_is_strict_json(tmp_path, summary):
    write.write(tmp_path, summary)

    def refuse(word):
        raise AssertionError(word)

    assert json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse) == summary


def test_the_terminal_s_table_fits(summary):
    text = terminal_table.terminal(summary)
    assert max(map(len, text.splitlines())) <= 100
    assert "333 [200, 1000]" in text


def test_the_terminal_s_table_is_coloured_only_on_a_terminal(summary, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    plain = terminal_table.terminal(summary)
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = terminal_table.terminal(summary)
    assert "\x1b[" not in plain and "\x1b[1m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured).split() == plain.split()
    monkeypatch.setenv("TERM", "dumb")
    assert terminal_table.terminal(summary) == plain


# -- hostile text ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path):
    """A run in which everything that comes from outside carries markup."""
    bad = Cell(engine("alpha", [variant("float32")], title=f"A{HOSTILE}"), variant("float32"), SHAPE)
    worse = Cell(engine("beta", [variant("float32")], title=f"B{HOSTILE}"), variant("float32"), SHAPE)
    device = {"kind": "cpu", "name": HOSTILE, "ids": ["cpu"], "key": "cpu", "detail": {}}
    made = Results(tmp_path / "r").run(
        [bad, worse], model=HOSTILE, device=device, hostname=HOSTILE, command=["run", HOSTILE]
    )
    made.plan(bad, ["k"]).launch(bad, 0, "k")
    made.plan(worse, ["k"]).launch(worse, 0, "k", "engine_error", f"it said: {HOSTILE.splitlines()[1]}")
    return summarise(made.end())


def test_hostile_text_stays_text(hostile):
    text = markdown.render(hostile)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    headings = re.findall(r"^#+ .*", text, re.MULTILINE)
    assert [heading for heading in headings if heading.startswith("# ")] == ["# LLM inference benchmark"]
    speed = table_after(text, "### Decode speed")
    assert [len(line) for line in speed] == [2, 2, 2]  # a pipe in a name makes no column
    assert speed[1][0].startswith("Ax\\|y<br># &lt;script&gt;")
    assert len(table_after(text, "### Cells without a number")[1]) == 4


def test_hostile_text_reaches_a_terminal_as_text(hostile):
    for row in hostile["rows"]:
        row.update(title="[red]\x1b[2Jlong" * 30, variant="v\x1b]0;t\x07" * 40, model="m\x9b31m\rn")
    text = terminal_table.terminal(hostile)
    assert "[red]long" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert max(map(len, text.splitlines())) <= 100


def test_hostile_text_in_the_environment_breaks_no_row(hostile):
    rows = [line for line in table_after(markdown.render(hostile), "## Environment") if line[0]]
    assert {len(line) for line in rows} == {2}
    assert [line[0] for line in rows][:2] == ["machine", "CPU"]


def test_hostile_text_survives_csv_and_json(tmp_path, hostile):
    write.write(tmp_path, hostile)
    assert pd.read_csv(tmp_path / "summary.csv")["model"][0] == HOSTILE
    assert json.loads((tmp_path / "summary.json").read_text())["rows"][0]["model"] == HOSTILE


@pytest.mark.parametrize(("text", "escaped"), [
    ("a|b", "a\\|b"), ("a\r\nb", "a<br>b"), ("<b>&", "&lt;b&gt;&amp;"), ("[x](y)", "\\[x\\](y)"),
    ("a\\|b", "a\\\\\\|b"),
    ("`x`", "\\`x\\`"), ("**x**", "\\*\\*x\\*\\*"), (None, "None"), (1.5, "1.5"),
])  # fmt: skip
def test_escape(text, escaped):
    assert escape.escape(text) == escaped


@pytest.mark.parametrize(("value", "text"), [
    (None, "?"), (0.0, "0.00"), (1.005, "1.00"), (9.994, "9.99"), (10.04, "10.0"), (99.96, "100.0"),
    (123456.7, "123457"),
])  # fmt: skip
def test_numbers(value, text):
    assert formatting.number(value) == text


def test_a_column_that_nobody_supports_is_left_out_while_there_is_another(summary):
    rows = [dict(row) for row in summary["rows"]]
    rows.append({**rows[0], "variant": "fp8", "precision": "float8", "outcome": "unsupported", "reason": "no kernels"})
    assert list(grid(rows, formatting.speed).columns) == ["Engine", "float32", "int8"]
    assert list(grid(rows[-1:], formatting.speed).columns) == ["Engine", "float8"]
    rows[-1] = {**rows[-1], "outcome": "load_failed"}
    assert list(grid(rows, formatting.speed).columns) == ["Engine", "float32", "float8", "int8"]


def test_a_ready_made_checkpoint_is_named_with_its_provenance(tmp_path):
    made, alpha, beta = Results(tmp_path / "r"), cell("alpha"), cell("beta")
    made.run([alpha, beta])
    theirs = {"scheme": "awq-g128", "source": "org/m|x@v1", "revision": "c" * 40, "digest": "d" * 64, "files": {}}
    made.plan(alpha, ["k0"], ready_made=theirs).launch(alpha, 0, "k0").plan(beta, ["k1"]).launch(beta, 0, "k1")
    summary = summarise(made.end())
    text = markdown.render(summary)
    assert table_after(text, "### Ready-made checkpoints") == [
        ["Engine", "Variant", "Scheme", "Checkpoint", "Commit", "sha256"],
        ["Alpha", "float32", "awq-g128", r"org/m\|x@v1", "c" * 12, "d" * 16],
    ]
    assert "- `ready_made`: ready-made checkpoint, quantised by others" in text
    assert f"note: {Flag.READY_MADE.note}"[:60] in terminal_table.terminal(summary)
    assert write.frame(summary["rows"])["artefact_revision"][0] == "c" * 40
