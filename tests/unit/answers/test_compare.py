"""compare: faster or slower, row by row, and never the machine's drift taken for an engine's change."""

import json
import re

import pytest

from orchestrator.answers.compare import comparison
from orchestrator.answers.compare.comparison import Question
from orchestrator.base.outcomes import Flag
from tests.support.contenders import cell
from tests.support.results_directory import results
from tests.support.summary_rows import STEADY, directory, failed, row
from tests.support.terminal_output import complaint

HOSTILE = "x|y\n# <script>alert(1)</script> @octocat #1 \x1b[31mred " + "long " * 60
MOVED = [0.9, 0.95, 1.0, 1.05, 1.1]  # a machine that changes from launch to launch


def new(**changes):
    """The next version of a row's software."""
    return {"engine_version": "2.0", "image": "next", "image_id": "next", **changes}


@pytest.fixture
def compared(tmp_path):
    """compare.compare of made-up rows: (rows before, rows after, question) -> what it found."""

    def run(before, after, barred=(), **question):
        for side, rows in (("before", before), ("after", after)):
            if not (tmp_path / side).exists():
                directory(tmp_path / side, rows)
        return comparison.compare([tmp_path / "before", tmp_path / "after"], Question(**question), set(barred))

    return run


def verdicts(found):
    return {each["name"]: each["verdict"] for each in found["rows"]}


# -- two runs, and their anchor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "verdict"), [(1.1, "faster"), (0.9, "slower"), (1.0, "no difference shown")])
def test_an_anchor_takes_the_machine_s_drift_out(compared, factor, verdict):
    """The machine became 20 % faster; the anchor shows it, and what the engine itself did is left."""
    before = [row("alpha", speed=100), row("beta", speed=50)]
    after = [row("alpha", speed=120 * factor, **new()), row("beta", speed=60)]
    found = compared(before, after)
    own = found["rows"][0]
    assert own["ratio"]["ratio"] == pytest.approx(1.2 * factor, rel=0.001)
    assert own["against_anchor"]["ratio"] == pytest.approx(factor, rel=0.001)
    assert (own["verdict"], own["method"], own["anchor"]) == (verdict, "against the anchor", "Beta float32")
    assert own["against_anchor"]["level"] == pytest.approx(1 - 24 / 252)
    (anchor,) = found["anchors"]
    assert (anchor["engine"], anchor["ratio"], anchor["doubt"]) == ("beta", pytest.approx(1.2), None)
    assert found["rows"][1]["method"] == "is the anchor"
    assert found["counts"] == {verdict: 1}


def test_drift_within_a_run_cancels_too(compared):
    """Launch by launch both move by a tenth: without the anchor's blocks the interval would hold anything."""
    before = [row("alpha", spread=MOVED), row("beta", spread=MOVED)]
    after = [row("alpha", speed=95, spread=MOVED[::-1], **new()), row("beta", spread=MOVED[::-1])]
    found = compared(before, after)
    own = found["rows"][0]
    assert own["against_anchor"]["low"] == pytest.approx(0.95)
    assert own["against_anchor"]["high"] == pytest.approx(0.95)
    assert own["verdict"] == "slower"
    assert own["ratio"]["low"] < 0.9


def test_without_an_anchor_nothing_can_be_told(compared):
    found = compared([row()], [row(speed=200, **new())])
    (own,) = found["rows"]
    assert (own["verdict"], own["why"]) == ("cannot tell", "no anchor")
    assert own["ratio"]["ratio"] == pytest.approx(2)


def test_no_anchor_accepts_the_drift(compared):
    found = compared([row()], [row(speed=200, **new())], no_anchor=True)
    assert (found["rows"][0]["verdict"], found["anchors"]) == ("faster", [])


def test_the_quietest_of_several_anchors_is_taken(compared):
    before = [row("alpha"), row("beta", spread=MOVED), row("gamma")]
    after = [row("alpha", **new()), row("beta", spread=MOVED), row("gamma")]
    found = compared(before, after)
    assert found["rows"][0]["anchor"] == "Gamma float32"
    assert {each["method"] for each in found["rows"]} == {"against the anchor", "is the anchor"}


@pytest.mark.parametrize("changes", [
    {"workload": "w2", "batch_size": 8}, {"machine": "other"}, {"device": "cuda"}, {"spread": STEADY[:4]},
    {"image": "other", "image_id": "other"}, {"outcome": "load_failed"},
])  # fmt: skip
def test_what_is_no_anchor(compared, changes):
    """Other work, another machine or device, too few launches, other software, no figure."""
    rows = row("beta", **changes)
    other = row("beta") if {"image", "outcome"} & changes.keys() else rows
    found = compared([row("alpha"), other], [row("alpha", **new()), rows])
    assert found["rows"][0]["verdict"] == "cannot tell"


def test_a_contender_that_sleeps_is_an_anchor_only_where_it_is_named(compared):
    before, after = [row("alpha"), row("beta")], [row("alpha", **new()), row("beta")]
    assert compared(before, after, barred=["beta"])["rows"][0]["why"] == "no anchor"
    assert compared(before, after, barred=["beta"], anchor="beta")["rows"][0]["anchor"] == "Beta float32"


def test_a_named_anchor_of_the_same_version_in_another_image_is_doubted(compared):
    before, after = [row("alpha"), row("beta")], [row("alpha", **new()), row("beta", image="x", image_id="x")]
    found = compared(before, after, anchor="beta:float32")
    assert found["rows"][0]["verdict"] == "no difference shown"
    assert "its image is not" in found["anchors"][0]["doubt"]


def test_an_anchor_needs_the_row_s_own_blocks(compared):
    late = {"blocks": [5, 6, 7, 8, 9]}
    found = compared([row("alpha"), row("beta", **late)], [row("alpha", **new()), row("beta")], anchor="beta")
    own = found["rows"][0]
    assert own["verdict"] == "cannot tell"
    assert (
        own["why"] == "the launches' own values are not in these results: `report DIR` makes them anew from a journal"
    )


# -- verdicts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "speed", "verdict"), [
    ("decode_tps", 200, "faster"), ("prefill_tps", 200, "faster"), ("e2e_tps", 50, "slower"), ("ttft", 200, "faster"),
    ("ttft", 50, "slower"), ("itl", 200, "faster"), ("itl", 50, "slower"),
])  # fmt: skip
def test_less_time_is_faster(compared, metric, speed, verdict):
    found = compared([row()], [row(speed=speed, **new())], metric=metric, no_anchor=True)
    assert found["rows"][0]["verdict"] == verdict


@pytest.mark.parametrize(("peak", "verdict"), [(500, "smaller"), (2000, "larger"), (1010.0, "no difference shown")])
def test_memory_needs_no_anchor(compared, peak, verdict):
    found = compared([row(peak=1000.0)], [row(peak=peak, **new())], metric="memory")
    assert found["rows"][0]["verdict"] == verdict
    assert found["anchors"] == []


def test_results_without_the_launches_own_values_give_a_ratio_and_no_verdict(compared):
    found = compared([row(each_launch={})], [row(peak=2000.0, each_launch={}, **new())], metric="memory")
    own = found["rows"][0]
    assert (own["verdict"], own["ratio"]["ratio"], own["ratio"]["low"]) == ("cannot tell", 2.0, None)


def test_an_unknown_figure(compared):
    found = compared([row()], [row(**new())], metric="energy", no_anchor=True)
    assert (found["rows"][0]["verdict"], found["rows"][0]["why"]) == ("cannot tell", "energy is unknown for both")


def test_too_few_launches(compared):
    found = compared([row(spread=STEADY[:3])], [row(speed=200, **new())], no_anchor=True)
    assert found["rows"][0]["verdict"] == "cannot tell"
    assert found["rows"][0]["why"] == "3 launches before, 5 after: five are needed of each"


def test_noise_that_hides_everything(compared):
    found = compared(
        [row(spread=[0.5, 0.8, 1, 1.2, 1.5])], [row(spread=[0.6, 0.7, 1, 1.3, 1.4], **new())], no_anchor=True
    )
    assert (found["rows"][0]["verdict"], found["rows"][0]["why"]) == ("cannot tell", "the interval is too wide")


@pytest.mark.parametrize(("after", "why"), [
    (row(workload="w2", model="n"), "other model, workload"),
    (failed(reason="no kernel"), "after: load_failed: no kernel"),
])  # fmt: skip
def test_not_comparable_says_why(compared, after, why):
    found = compared([row()], [after], no_anchor=True)
    assert (found["rows"][0]["verdict"], found["rows"][0]["why"]) == ("not comparable", why)


def test_a_row_of_one_side_only(compared):
    found = compared([row("alpha"), row("beta")], [row("alpha"), row("gamma")], no_anchor=True)
    assert [(each["name"], each["why"]) for each in found["rows"]][1:] == [
        ("Gamma float32", "only after"), ("Beta float32", "only before"),
    ]  # fmt: skip


# -- one directory -----------------------------------------------------------------------------------------------------


def test_two_engines_of_one_run_pair_by_block(tmp_path):
    place = directory(tmp_path / "r", [row("alpha", spread=MOVED), row("beta", speed=110, spread=MOVED)])
    found = comparison.compare([place], Question(before="alpha", after="beta"))
    (own,) = found["rows"]
    assert (own["method"], own["verdict"], own["ratio"]["low"]) == ("block by block", "faster", pytest.approx(1.1))
    assert own["name"] == "Alpha float32 → Beta float32"
    assert own["ratio"]["level"] == 0.9375


def test_two_variants_of_one_run(tmp_path):
    place = directory(tmp_path / "r", [row("alpha", "f32"), row("alpha", "q8", 50, precision="int8")])
    (own,) = comparison.compare([place], Question(before="alpha:f32", after="alpha:q8"))["rows"]
    assert own["verdict"] == "slower"


def test_two_versions_of_merged_runs_have_their_anchor_too(tmp_path):
    one = [row("alpha", source="r1"), row("beta", source="r1")]
    two = [row("alpha", speed=240, source="r2", **new()), row("beta", speed=200, source="r2")]
    found = comparison.compare([directory(tmp_path / "r", [*one, *two])], Question())
    (own,) = found["rows"]
    assert (own["verdict"], own["anchor"]) == ("faster", "Beta float32")
    assert own["ratio"]["ratio"] == pytest.approx(2.4, rel=0.001)
    assert own["against_anchor"]["ratio"] == pytest.approx(1.2, rel=0.001)


# -- a failing comparison ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("speed", "spread", "regression", "possible"), [
    (94, STEADY, True, False),  # the whole interval lies beyond 5 %
    (95, STEADY, False, False),  # no more than 5 %
    (97, STEADY, False, False),  # slower, by less
    (94, [0.97, 0.98, 1, 1.015, 1.03], False, True),  # the ratio does, its interval does not
    (90, STEADY[:3], False, True),  # too few launches to show anything
    (110, STEADY, False, False),
])  # fmt: skip
def test_a_regression_is_shown_by_the_whole_interval(compared, speed, spread, regression, possible):
    found = compared([row()], [row(speed=speed, spread=spread, **new())], no_anchor=True, threshold=0.05)
    assert (bool(found["regressions"]), bool(found["possible_regressions"])) == (regression, possible)


@pytest.mark.parametrize(("speed", "regression"), [(90, True), (96, False), (110, False)])
def test_a_longer_time_is_a_regression(compared, speed, regression):
    found = compared([row()], [row(speed=speed, **new())], metric="ttft", no_anchor=True, threshold=0.05)
    assert bool(found["regressions"]) == regression


@pytest.mark.parametrize(("outcome", "regression"), [
    ("oom_host", True), ("invalid_output", True), ("interrupted", False), ("unsupported", False), ("disk_full", False),
])  # fmt: skip
def test_a_row_that_fails_now_is_a_regression_where_it_is_the_engine_s_doing(compared, outcome, regression):
    found = compared([row()], [failed(outcome=outcome)], threshold=0.05)
    assert found["regressions"] == (["Alpha float32"] if regression else [])


def test_without_a_threshold_nothing_fails(compared):
    assert compared([row()], [failed(outcome="oom_host")])["regressions"] == []


def test_the_anchor_itself_is_no_regression(compared):
    before, after = [row("alpha"), row("beta")], [row("alpha", speed=50, **new()), row("beta", speed=50)]
    found = compared(before, after, threshold=0.05)
    assert (found["regressions"], found["possible_regressions"]) == ([], [])


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path):
    before = [row("alpha"), row("beta"), row("gamma"), failed("delta")]
    after = [row("alpha", speed=90, **new()), row("beta"), row("gamma", workload="w2"), failed("delta")]
    return directory(tmp_path / "before", before), directory(tmp_path / "after", after)


@pytest.mark.parametrize(("arguments", "code"), [
    ([], 0), (["--fail-on-regression", "5%"], 3), (["--fail-on-regression", "0.05"], 3),
    (["--fail-on-regression", "15%"], 0), (["--fail-on-regression", "5%", "--metric", "memory"], 0),
    (["--fail-on-regression", "5%", "--format", "json"], 3),
    (["--fail-on-regression", "5%", "--format", "markdown"], 3),
])  # fmt: skip
def test_exit_codes(call, places, arguments, code):
    assert call("compare", *places, *arguments)[0] == code


def test_what_is_inconclusive_is_no_failure_but_is_said(call, places):
    code, out, _ = call("compare", *places, "--fail-on-regression", "15%")
    assert code == 0
    assert "no regression of more than 15 % is shown" in out
    assert "inconclusive for 2 of 4 rows" in out
    assert "not comparable (other workload)" in " ".join(out.split())


def test_the_terminal_s_table_fits_and_tells_all(call, places):
    _, out, _ = call("compare", *places)
    assert max(map(len, out.splitlines())) <= 100
    assert re.search(r"Alpha float32 +100 +90 +0\.900 \[0\.898, 0\.902\] +0\.900 \[.*\] +slower", out)
    assert "anchor Beta float32" in out
    assert "engine version differs: 1.0 before, 2.0 after (Alpha float32)" in out
    assert "exact level 0.9048" in out


def test_markdown_is_fit_for_a_comment(call, places):
    _, out, _ = call("compare", *places, "--format", "markdown", "--fail-on-regression", "5%")
    assert out.startswith("### decode speed, after / before: 1 slower, 2 not comparable\n")
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in table} == {7, 8}  # one more where there is an anchor
    assert "- REGRESSION, shown to be more than 5 %, or lost: Alpha float32" in out


def test_json_is_strict_and_whole(call, places):
    _, out, _ = call("compare", *places, "--format", "json")

    def refuse(word):
        raise AssertionError(word)

    found = json.loads(out, parse_constant=refuse)
    assert {each["verdict"] for each in found["rows"]} == {"slower", "cannot tell", "not comparable"}
    assert found["metric"]["better"] == "more"


def test_the_quick_profile_is_warned_of(call, tmp_path):
    quick = {"flags": ["not_a_measurement"], "spread": STEADY[:1]}
    one, two = directory(tmp_path / "a", [row(**quick)]), directory(tmp_path / "b", [row(**quick)])
    _, out, _ = call("compare", one, two, "--no-anchor")
    assert "warning: a quick profile is not a measurement" in out
    assert "1 launches before, 1 after: five are needed" in " ".join(out.split())


def test_the_same_software_throughout_is_said(call, tmp_path):
    one = directory(tmp_path / "a", [row("alpha"), row("beta")])
    two = directory(tmp_path / "b", [row("alpha", speed=80), row("beta")])
    _, out, _ = call("compare", one, two, "--anchor", "beta")
    said = " ".join(out.split())
    assert "no engine's image differs: what differs is the machine or its state" in said
    assert "Alpha float32 is slower though its software is the same" in said


def test_what_was_noted_while_measuring_is_said(call, tmp_path):
    one = directory(tmp_path / "a", [row("alpha", flags=["noisy_host"]), row("beta")])
    two = directory(tmp_path / "b", [row("alpha", flags=["noisy_host"], **new()), row("beta")])
    _, out, _ = call("compare", one, two)
    noted = f"note: {Flag.NOISY_HOST.note} (Alpha float32 before, Alpha float32 after)"
    assert noted in " ".join(out.split())


def test_a_machine_that_moved_far_is_doubted(call, tmp_path):
    one = directory(tmp_path / "a", [row("alpha"), row("beta")])
    two = directory(tmp_path / "b", [row("alpha", speed=80, **new()), row("beta", speed=80)])
    _, out, _ = call("compare", one, two)
    assert "the machine moved by -20 %: what hits engines unequally is not taken out" in " ".join(out.split())


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_hostile_names_are_text(call, tmp_path, form):
    bad = {"title": HOSTILE, "engine_version": HOSTILE, "machine": HOSTILE, "model": HOSTILE}
    one = directory(tmp_path / "a", [row("alpha", variant=HOSTILE, **bad), failed("beta", reason=HOSTILE, **bad)])
    two = directory(tmp_path / "b", [row("alpha", variant=HOSTILE, **{**bad, **new()}), failed("beta", reason=HOSTILE)])
    code, out, _ = call("compare", one, two, "--format", form)
    assert code == 0
    assert "\x1b" not in out
    if form == "table":
        assert max(map(len, out.splitlines())) <= 100
    else:
        assert "<script" not in out
        assert not re.search(r"@octocat|#1\b", out)
        assert {len(re.split(r"(?<!\\)\|", line)) for line in out.splitlines() if line.startswith("|")} == {7}
        assert [line for line in out.splitlines() if line.startswith("#")] == [out.splitlines()[0]]


@pytest.mark.parametrize(("arguments", "message"), [
    (["before", "after", "--anchor", "zeta"], "--anchor zeta: no row of that name is ok, of the same version and of "
     "the same work in both: there are beta:float32"),
    (["before", "after", "--anchor", "beta", "--no-anchor"], "--anchor and --no-anchor contradict each other"),
    (["before", "after", "--anchor", "beta", "--metric", "memory"], "--anchor: not needed: peak memory does not drift"),
    (["before", "before"], "before is given twice: name it once, with --before and --after"),
    (["before"], "one directory, and no engine stands in it in two versions: name two directories"),
    (["before", "--before", "alpha"], "one directory needs two different rows: give --before and --after"),
    (["before", "--before", "alpha", "--after", "alpha"], "one directory needs two different rows"),
    (["before", "--before", "alpha", "--after", "zeta"], "no row of before is 'zeta': there are alpha:float32@1.0, "),
    (["before", "--before", "alpha", "--after", "beta", "--anchor", "gamma"], "--anchor: measured side by side"),
    (["before", "after", "--before", "alpha", "--after", "alpha:q@3"], "no row of after is 'alpha:q@3'"),
    (["before", "after", "before"], "compare takes one or two results directories, not 3"),
    (["before", "nowhere"], "Invalid value for 'BEFORE [AFTER]': Path 'nowhere' does not exist"),
    (["before", "after", "--fail-on-regression", "5"], "Invalid value for '--fail-on-regression': expected a share"),
    (["before", "after", "--metric", "joy"], "Invalid value for '--metric'"),
])  # fmt: skip
def test_a_mistake_is_one_line(call, places, arguments, message):
    assert complaint(call("compare", *arguments)).startswith(message)


def test_nothing_in_common(call, tmp_path):
    one, two = directory(tmp_path / "a", [row("alpha")]), directory(tmp_path / "b", [row("beta")])
    line = complaint(call("compare", one, two))
    assert line.startswith(
        "nothing to compare: no engine and variant stands in both (alpha:float32 before, beta:float32"
    )


def test_several_that_match_are_named_as_the_reason(call, tmp_path):
    twice = [row("alpha", engine_version="1"), row("alpha", engine_version="2")]
    one, two = directory(tmp_path / "a", twice), directory(tmp_path / "b", [row("alpha", engine_version="3")])
    line = complaint(call("compare", one, two))
    assert line.startswith(
        "nothing to compare: 2 rows match: name one with --before and --after as ENGINE:VARIANT@VERSION"
    )


def test_help_has_examples(call):
    code, out, _ = call("compare", "--help")
    assert code == 0
    assert "./benchmark.sh compare results/before results/after --fail-on-regression 5% --format markdown" in out


# -- from a journal, and from damaged results --------------------------------------------------------------------------

MS = 1_000_000


def measured(place, step_ms):
    def steps(block, i):
        return [10 * MS, int((10 + step_ms) * MS) + block * 1000, int((10 + 2 * step_ms) * MS) + block * 1000]

    return results(place, [cell("alpha")], 5, steps=steps)


def test_from_the_journals_of_two_runs(call, tmp_path):
    one, two = measured(tmp_path / "one", 10), measured(tmp_path / "two", 12)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, out, _ = call("compare", one, two, "--no-anchor", "--fail-on-regression", "5%")
    assert code == 3
    assert re.search(r"Alpha float32 +99\.99 +83\.33 +0\.83\d \[.*\] +slower", out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before  # nothing is written
    code, out, _ = call("choose", one, two)
    assert code == 0
    assert "pick: Alpha · " in out


def test_the_peaks_of_every_launch_are_in_the_summary(call, tmp_path):
    one, two = measured(tmp_path / "one", 10), measured(tmp_path / "two", 10)
    _, out, _ = call("compare", one, two, "--metric", "memory", "--format", "json")
    (own,) = json.loads(out)["rows"]
    assert (own["verdict"], own["ratio"]["low"], own["before"]["value"]) == ("no difference shown", 1.0, 101.0)


@pytest.mark.parametrize("command", ["choose", "compare"])
def test_a_torn_last_line_is_left_out(call, tmp_path, command):
    one, two = measured(tmp_path / "one", 10), measured(tmp_path / "two", 10)
    with (one / "journal.jsonl").open("a") as file:
        file.write('{"kind": "laun')
    assert call(command, one, two)[0] == 0


def damage_middle(place):
    lines = (place / "journal.jsonl").read_text().splitlines(keepends=True)
    (place / "journal.jsonl").write_text("".join([*lines[:2], lines[2][:20] + "\n", *lines[3:]]))


def other_schema(place):
    text = (place / "journal.jsonl").read_text()
    (place / "journal.jsonl").write_text(text.replace('"schema": 1', '"schema": 7', 1))


def lose_a_launch(place):
    next(place.glob("launches/*-3-*/out/result.json")).unlink()


def tear_samples(place):
    path = next(place.glob("launches/*/out/samples.jsonl"))
    path.write_text(path.read_text()[:-30])


def only_summary(content):
    def change(place):
        (place / "journal.jsonl").unlink()
        (place / "summary.json").write_text(content)

    return change


@pytest.mark.parametrize(("change", "message"), [
    (damage_middle, "journal.jsonl line 3 is damaged: restore the file, or measure into another --out"),
    (other_schema, "has schema 7, this suite reads schema 1: read it with the suite that wrote it"),
    (lose_a_launch, "what a launch left is missing or damaged (FileNotFoundError: "),
    (tear_samples, "what a launch left is missing or damaged (BadSamples: samples.jsonl line 2 is not a sample)"),
    (only_summary('{"schema": 99}'), "has schema 99, this suite reads schema 1"),
    (only_summary('{"schema": 1}'), "is damaged: rows, or what they need, are missing"),
    (only_summary('{"schema": 1, "rows": [{}]}'), "is damaged: rows, or what they need, are missing"),
    (only_summary("{"), "is not valid JSON"),
    (lambda place: (place / "journal.jsonl").unlink(), "not a results directory"),
    (lambda place: (place / "journal.jsonl").write_bytes(b"\xff\xfe\n"), "line 1 is damaged"),
    (lambda place: (place / "journal.jsonl").write_text(""), "holds no run"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["choose", "compare"])
def test_damaged_results_are_one_line(call, tmp_path, command, change, message):
    one, two = measured(tmp_path / "one", 10), measured(tmp_path / "two", 10)
    change(one)
    line = complaint(call(command, one, two))
    assert message in line
    assert str(one) in line
