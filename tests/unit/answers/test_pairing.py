"""Which rows of two sets belong together."""

import pytest

from orchestrator.answers.compare import pairing
from orchestrator.answers.compare.pairing import Selector
from orchestrator.base.errors import UserError
from tests.support.summary_rows import directory, failed, row


def told(pairs):
    """(engine before, engine after, differing keys, trouble) of each pair."""
    return [
        (each.before and each.before["engine"], each.after and each.after["engine"], each.differing, each.trouble)
        for each in pairs
    ]  # fmt: skip


def test_rows_match_by_what_they_did():
    before, after = [row("alpha"), row("beta")], [row("beta"), row("alpha")]
    assert told(pairing.pairs(before, after)) == [("beta", "beta", (), None), ("alpha", "alpha", (), None)]


@pytest.mark.parametrize(("key", "value"), [
    ("precision", "int8"), ("model", "n"), ("batch_size", 8), ("prompt_tokens", 5), ("new_tokens", 9),
    ("workload", "w2"), ("device", "cuda"),
])  # fmt: skip
def test_a_key_that_differs_makes_them_not_comparable_and_is_named(key, value):
    (pair,) = pairing.pairs([row()], [row(**{key: value})])
    assert (pair.comparable, pair.differing) == (False, (key,))
    assert pair.differences()[0] == {"key": key, "before": row()[key], "after": value}


@pytest.mark.parametrize(("key", "value"), [
    ("machine", "other"), ("device_name", "Other"), ("isolation", "docker"), ("threads", 8),
    ("engine_version", "2.0"), ("settings", {"a": 1}),
])  # fmt: skip
def test_other_differences_are_only_reported(key, value):
    (pair,) = pairing.pairs([row()], [row(**{key: value})])
    assert pair.comparable
    assert pair.differences() == [{"key": key, "before": row()[key], "after": value}]


def test_another_image_is_reported_unless_only_the_build_differs():
    (pair,) = pairing.pairs([row()], [row(image="venv:alpha-2", image_id="alpha-2")])
    assert not pair.same_software
    assert pair.differences()[-1] == {"key": "image", "before": "venv:alpha-1", "after": "venv:alpha-2"}
    (rebuilt,) = pairing.pairs([row()], [row(image_id="sha256:1")])
    assert rebuilt.same_software
    assert rebuilt.differences() == []


def test_rows_without_an_image_are_not_the_same_software():
    (pair,) = pairing.pairs([row(image=None, image_id=None)], [row(image=None, image_id=None)])
    assert not pair.same_software


def test_a_row_s_own_counterpart_is_not_taken_by_a_lesser_match():
    before = [row(workload="w8", batch_size=8), row(workload="w1")]
    after = [row(workload="w4", batch_size=4), row(workload="w8", batch_size=8)]
    found = pairing.pairs(before, after)
    assert [(each.before["workload"], each.after["workload"], each.differing) for each in found] == [
        ("w1", "w4", ("batch_size", "workload")), ("w8", "w8", ()),
    ]  # fmt: skip


def test_rows_without_a_counterpart():
    found = pairing.pairs([row("alpha"), row("alpha", "q8")], [row("alpha"), row("beta")])
    assert told(found) == [("alpha", "alpha", (), None), (None, "beta", (), None), ("alpha", None, (), None)]
    assert [each.comparable for each in found] == [True, False, False]


def test_a_cell_that_never_got_a_workload_is_paired_and_not_comparable():
    (pair,) = pairing.pairs([row()], [failed()])
    assert (pair.differing, pair.comparable) == ((), False)


def test_merged_rows_are_told_apart_by_their_machine():
    before = [row(machine="m1", speed=1), row(machine="m2", speed=2)]
    after = [row(machine="m2", speed=4), row(machine="m1", speed=3)]
    found = pairing.pairs(before, after)
    assert [(each.before["machine"], each.after["machine"]) for each in found] == [("m2", "m2"), ("m1", "m1")]


def test_two_engines_of_several_runs_are_paired_run_by_run():
    before = [row("alpha", source="monday"), row("alpha", source="tuesday")]
    after = [row("beta", source="tuesday"), row("beta", source="monday")]
    found = pairing.pairs(before, after, ignoring=("engine",))
    assert [(each.before["source"], each.after["source"]) for each in found] == [
        ("tuesday", "tuesday"), ("monday", "monday"),
    ]  # fmt: skip


def test_a_machine_of_a_new_name_still_matches():
    (pair,) = pairing.pairs([row(machine="runner-1")], [row(machine="runner-2")])
    assert pair.comparable


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_rows_that_match_more_than_once_are_not_guessed(before, after):
    found = pairing.pairs([row() for _ in range(before)], [row() for _ in range(after)])
    assert [each.trouble for each in found if each.after] == [
        "2 rows match: name one with --before and --after"
    ] * after
    assert not any(each.comparable for each in found)


def test_rows_of_other_names_where_that_is_asked_for():
    (pair,) = pairing.pairs([row("alpha")], [row("beta")], ignoring=("engine",))
    assert (pair.comparable, pair.differing) == (True, ())


def test_every_row_stands_once():
    before = [row(f"e{i % 3}", f"v{i % 4}", batch_size=1 + i % 5, workload=f"w{i % 5}") for i in range(60)]
    after = [row(f"e{i % 4}", f"v{i % 3}", batch_size=1 + i % 7, workload=f"w{i % 7}") for i in range(84)]
    found = pairing.pairs(before, after)
    assert sorted(id(each.after) for each in found if each.after) == sorted(map(id, after))
    # Rivals of an ambiguous match stand for themselves; none stands twice.
    assert sorted(id(each.before) for each in found if each.before) == sorted(map(id, before))


def test_two_directories_of_one_name_inside_are_two_runs(tmp_path):
    """Merged rows carry the name of their run as it was typed: it can be the same in two merged directories."""
    one = pairing.rows_of(directory(tmp_path / "one", [row(source="results/r")]))
    two = pairing.rows_of(directory(tmp_path / "two", [row(source="results/r")]))
    (pair,) = pairing.pairs(one, two)
    assert not pair.side_by_side
    (own,) = pairing.pairs(one, one)
    assert own.side_by_side


# -- selectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "taken"), [
    ("alpha", ["alpha f 1", "alpha q 1", "alpha f 2 (x)"]), ("alpha:q", ["alpha q 1"]),
    ("alpha@2 (x)", ["alpha f 2 (x)"]), ("alpha:f@1", ["alpha f 1"]), ("beta", ["beta f 1"]),
])  # fmt: skip
def test_selectors(text, taken):
    rows = [row("alpha", "f", engine_version="1"), row("alpha", "q", engine_version="1"),
            row("alpha", "f", engine_version="2 (x)"), row("beta", "f", engine_version="1")]  # fmt: skip
    found = pairing.selected(rows, Selector.parse(text), "here")
    assert [f"{each['engine']} {each['variant']} {each['engine_version']}" for each in found] == taken


def test_a_selector_that_takes_nothing_names_what_there_is():
    with pytest.raises(UserError, match=r"no row of here is 'alpha:q': there are alpha:float32@1\.0$"):
        pairing.selected([row()], Selector.parse("alpha:q"), "here")


@pytest.mark.parametrize("text", ["", ":q", "@1"])
def test_a_selector_names_an_engine(text):
    with pytest.raises(UserError, match="names no engine: write ENGINE"):
        Selector.parse(text)


def test_two_versions_in_one_directory():
    rows = [
        row("alpha", image="a1"),
        row("beta"),
        row("alpha", image="a2", engine_version="2.0"),
        row("alpha", "q", image="a1"),
    ]
    before, after = pairing.two_versions(rows)
    assert [each["image"] for each in before] == ["a1", "a1"]
    assert [each["image"] for each in after] == ["a2"]


@pytest.mark.parametrize(("images", "why"), [
    (["a1"], "no engine stands in it in two versions"),
    (["a1", "a2", "a3"], "alpha stands in it in more than two versions"),
    ([None], "no engine stands in it in two versions"),
])  # fmt: skip
def test_one_or_three_versions(images, why):
    with pytest.raises(UserError, match=why):
        pairing.two_versions([row("alpha", image=image) for image in images])
