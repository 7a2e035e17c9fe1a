"""A table on a terminal: 100 columns, wrapped between words, never within an interval."""

from orchestrator.base.terminal import WIDTH, grid


def test_what_fits_is_left_as_it_is():
    assert grid(["row", "value"], [["alpha", "1.0 [0.9, 1.1]"]]).splitlines() == [
        "row    value",
        "-----  --------------",
        "alpha  1.0 [0.9, 1.1]",
    ]


def test_the_widest_columns_are_wrapped_between_words():
    name, why = "An engine (of a long name) float32", "cannot tell (the interval is too wide)"
    lines = [[name, *["0.998 [0.878, 1.136]"] * 3, why]]
    shown = grid(["row", "ratio", "against anchor", "of all", "verdict"], lines)
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert shown.count("[0.878, 1.136]") == 3
    for word in (*name.split(), *why.split()):
        assert word in shown


def test_a_word_is_never_cut():
    lines = [["x" * 90, "y" * 30], ["short", "z"]]
    shown = grid(["one", "other"], lines)
    assert "x" * 90 in shown and "y" * 30 in shown


def test_a_head_is_wrapped_with_its_column():
    heads = [f"a head of many words {number}" for number in range(9)]
    shown = grid(heads, [["1"] * 9])
    assert max(map(len, shown.splitlines())) <= WIDTH


def test_lines_within_a_cell_stay_lines():
    assert grid(["a", "b"], [["one\ntwo", "3"]]).splitlines()[2:] == ["one  3", "two"]


def test_a_column_may_have_no_head_and_a_table_no_lines():
    assert grid(["", "row"], [[">", "alpha"], ["", "beta"]]).splitlines()[2:] == [">  alpha", "   beta"]
    assert grid(["row", "value"], []).startswith("row")


def test_a_head_alone_is_wrapped_before_what_stands_below_it():
    shown = grid(["date", "a head of some words"] + ["x" * 20] * 3, [["2026-11-21 12:16:38", "1", "2", "3", "4"]])
    assert "2026-11-21 12:16:38" in shown and "a head of some words" not in shown


def test_wide_characters_count_as_they_are_shown():
    assert grid(["engine", "x"], [["推理引擎", "1"]]).splitlines() == ["engine    x", "--------  -", "推理引擎  1"]
