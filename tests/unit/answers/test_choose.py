"""choose: the pick under given limits, what cannot be told apart from it, and why every other row was rejected."""

import json
import random

import pytest

from orchestrator.base.outcomes import Flag
from orchestrator.results.metrics.registry import asked_for
from tests.support.summary_rows import STEADY, directory, failed, row
from tests.support.terminal_output import complaint

HOSTILE = "x|y\n# <script>alert(1)</script> \x1b[31mred " + "long " * 60


@pytest.fixture
def chosen(call, tmp_path):
    """Run `choose` on a directory of these rows: (exit code, what it found as JSON)."""

    def run(rows, *arguments):
        place = tmp_path / "r"
        if not place.exists():
            directory(place, rows)
        code, out, lines = call("choose", place, "--format", "json", *arguments)
        assert lines == []
        return code, json.loads(out)

    return run


@pytest.fixture
def said(call, tmp_path):
    """The same for a terminal: (exit code, text)."""

    def run(rows, *arguments):
        code, out, lines = call("choose", directory(tmp_path / "t", rows), *arguments)
        assert lines == []
        assert max(map(len, out.splitlines())) <= 100
        return code, out

    return run


def only(found):
    assert len(found["answers"]) == 1
    return found["answers"][0]


def names(rows):
    return [each["name"] for each in rows]


FLEET = [
    row("alpha", "f32", 100, peak=4000.0, quality={"kl": 0.0, "top1": 1.0}),
    row("alpha", "q8", 200, peak=1000.0, quality={"kl": 0.001, "top1": 0.98}),
    row("alpha", "q4", 400, peak=500.0, quality={"kl": 0.1, "top1": 0.8}),
    row("beta", "q8", 150, peak=1100.0, quality={"kl": 0.002, "top1": 0.97}),
    failed("beta", "q4", "oom_host", "killed"),
]


@pytest.mark.parametrize(("objective", "pick"), [
    ("decode_tps", "Alpha q4"), ("throughput", "Alpha q4"), ("memory", "Alpha q4"), ("quality", "Alpha f32"),
])  # fmt: skip
def test_the_pick_is_the_best_by_the_objective(chosen, objective, pick):
    code, found = chosen(FLEET, "--objective", objective)
    answer = only(found)
    assert (code, answer["pick"]["name"], answer["alike"]) == (0, pick, [])
    assert names(answer["not_ok"]) == ["Beta q4"]
    assert answer["not_ok"][0]["outcome"] == "oom_host"


def test_each_rejected_row_tells_every_limit_that_it_missed_and_by_how_much(chosen):
    _, found = chosen(FLEET, "--min-top1", "97.5%", "--max-memory", "3GiB", "--max-itl", "6ms")
    answer = only(found)
    assert answer["pick"]["name"] == "Alpha q8"
    missed = {
        each["name"]: {miss["option"]: miss["by"] for miss in each["misses"]} for each in answer["rejected"]
    }  # fmt: skip
    assert missed == {
        "Alpha f32": {"--max-memory": pytest.approx(4000 - 3072), "--max-itl": pytest.approx(0.004)},
        "Alpha q4": {"--min-top1": pytest.approx(0.175)},
        "Beta q8": {"--min-top1": pytest.approx(0.005), "--max-itl": pytest.approx(1 / 150 - 0.006)},
    }


def test_misses_are_written_in_the_unit_asked_for(said):
    code, text = said(FLEET, "--max-memory", "1.2GB", "--min-top1", "99%", "--max-ttft", "60ms")
    assert code == 4
    assert "peak memory 4.194 GB: 2.99 GB over 1.2GB" in text
    assert "top-1 80 %: 19 % below 99%" in text
    assert "TTFT 100 ms: 40 ms over 60ms" in text


def test_a_limit_that_is_just_met_is_met(chosen):
    _, found = chosen(FLEET, "--max-memory", "1000MiB", "--min-top1", "0.98")
    assert only(found)["pick"]["name"] == "Alpha q8"


def test_an_unknown_figure_meets_no_limit_and_is_no_zero(chosen):
    rows = [
        row("alpha", peak=4000.0),
        row("beta", peak_host_mib=None),
        row("gamma", quality=None, quality_reason="no l"),
    ]
    code, found = chosen(rows, "--max-memory", "2GB", "--max-kl", "1")
    answer = only(found)
    assert (code, answer["pick"]) == (4, None)
    rejected = {each["name"]: each["misses"] for each in answer["rejected"]}
    assert [(miss["state"], miss["by"], miss["why_unknown"]) for miss in rejected["Beta float32"]] == [
        ("unknown", None, "no peak was measured")
    ]
    assert [(miss["option"], miss["state"], miss["why_unknown"]) for miss in rejected["Gamma float32"]] == [
        ("--max-kl", "unknown", "no l")
    ]
    assert answer["excluded_by"][0] == {
        "option": "--max-memory", "asked": "2GB", "missed": 1, "unknown": 1, "alone": 2,
    }  # fmt: skip


def test_a_row_whose_objective_is_unknown_is_rejected_as_unknown(chosen):
    code, found = chosen([row("alpha"), row("beta")], "--objective", "energy")
    answer = only(found)
    assert (code, answer["pick"]) == (4, None)
    assert [(each["misses"][0]["option"], each["misses"][0]["why_unknown"]) for each in answer["rejected"]] == [
        ("--objective", "unreadable: no counter")
    ] * 2


# -- nothing is left ---------------------------------------------------------------------------------------------------


def test_when_nothing_is_left_it_says_what_excludes_how_many_and_the_nearest_miss(said, tmp_path):
    code, text = said(FLEET, "--min-tps", "300", "--min-top1", "0.97")
    assert code == 4
    assert "no pick: nothing meets the constraints" in text
    assert "--min-tps 300 excludes 3; without it 3 would remain" in text
    assert "--min-top1 0.97 excludes 1; without it 1 would remain" in text
    assert "nearest miss: Alpha q4: top-1 0.8: 0.17 below 0.97" in text  # 18 % short; q8 lacks a third of its speed


def test_the_nearest_miss_is_never_one_of_unknown_value_where_another_is_known(chosen):
    rows = [row("alpha", quality=None), row("beta", quality={"kl": 9.0, "top1": 0.1})]
    _, found = chosen(rows, "--max-kl", "0.1")
    assert only(found)["nearest"]["engine"] == "beta"


def test_only_failed_rows(said):
    code, text = said([failed("alpha", reason="Traceback (most recent call last):\n  x\nValueError: bad")])
    assert code == 4
    assert "no pick: no row has a figure" in text
    assert "load_failed: ValueError: bad" in text


# -- what cannot be told apart -----------------------------------------------------------------------------------------


def test_rows_of_one_run_are_told_apart_block_by_block(chosen):
    """Both drift by 10 %, so that their intervals overlap; in each block one is 5 % faster."""
    drift = [1.0, 1.03, 1.05, 1.08, 1.1]
    rows = [
        row("alpha", speed=105, spread=drift),
        row("beta", speed=100, spread=drift),
        row("gamma", spread=drift[::-1]),
    ]
    answer = only(chosen(rows)[1])
    assert answer["pick"]["engine"] == "alpha"
    assert [(each["engine"], each["why"]) for each in answer["alike"]] == [
        ("gamma", "cannot tell: 1.050 times its value [0.955, 1.155], block by block")
    ]


def test_rows_of_two_runs_are_told_apart_by_their_intervals(call, tmp_path):
    one = directory(tmp_path / "one", [row("alpha", speed=105, spread=[1.0, 1.03, 1.05, 1.08, 1.1])])
    two = directory(
        tmp_path / "two", [row("beta", speed=100, spread=[1.0, 1.03, 1.05, 1.08, 1.1]), row("gamma", speed=90)]
    )
    code, out, _ = call("choose", one, two, "--format", "json")
    answer = only(json.loads(out))
    assert (code, answer["pick"]["engine"]) == (0, "alpha")
    assert [(each["engine"], each["why"]) for each in answer["alike"]] == [("beta", "the intervals overlap")]


@pytest.mark.parametrize("count", [1, 4])
def test_fewer_than_five_launches_tell_nothing_apart(chosen, count):
    rows = [row("alpha", speed=200, spread=STEADY[:count]), row("beta", speed=100, spread=STEADY[:count])]
    answer = only(chosen(rows)[1])
    plural = "" if count == 1 else "es"
    assert [each["why"] for each in answer["alike"]] == [f"cannot tell: {count} launch{plural}, five are needed"]


def test_equal_figures_are_equal_and_the_better_of_the_rest_is_picked(chosen):
    rows = [row("alpha", quality={"kl": 0.1, "top1": 0.9}, speed=50), row("beta", quality={"kl": 0.1, "top1": 0.9})]
    answer = only(chosen(rows, "--objective", "quality")[1])
    assert answer["pick"]["engine"] == "beta"
    assert [each["why"] for each in answer["alike"]] == ["the figures are equal"]


@pytest.mark.parametrize(("limit", "pick", "state"), [("11ms", "alpha", "met"), ("9.99ms", None, "missed")])
def test_an_interval_that_straddles_a_limit_is_said(chosen, limit, pick, state):
    rows = [row("alpha", speed=100, spread=[0.8, 0.9, 1.0, 1.1, 1.2])]  # a step of 10 ms [8.3, 12.5]
    answer = only(chosen(rows, "--max-itl", limit)[1])
    assert (answer["pick"] or {}).get("engine") == pick
    assert [(each["option"], each["state"]) for each in answer["straddling"]] == [("--max-itl", state)]


def test_a_limit_outside_of_the_interval_is_not_straddled(chosen):
    assert only(chosen(FLEET, "--max-itl", "7ms")[1])["straddling"] == []


# -- the Pareto set ----------------------------------------------------------------------------------------------------


def test_the_pareto_set_counted_out(chosen):
    """Every row against every other on speed, quality and memory."""
    answer = only(chosen(FLEET)[1])
    assert answer["axes"] == ["decode_tps", "kl", "memory"]
    assert sorted(names(answer["pareto"])) == ["Alpha f32", "Alpha q4", "Alpha q8"]
    assert answer["dominated"] == ["Beta q8"]  # Alpha q8 is faster, nearer and smaller


def test_rows_that_are_equal_on_every_axis_stay_both(chosen):
    answer = only(chosen([row("alpha"), row("beta")])[1])
    assert sorted(names(answer["pareto"])) == ["Alpha float32", "Beta float32"]


def test_the_pareto_set_against_brute_force(chosen):
    drawn = random.Random(3)
    rows = [
        row("alpha", f"v{i}", drawn.randint(1, 9), peak=float(drawn.randint(1, 9)),
            quality={"kl": drawn.randint(1, 9), "top1": 0.5})
        for i in range(60)
    ]  # fmt: skip
    cost = {
        each["variant"]: (-each["decode_tps"]["median"], each["quality"]["kl"], each["peak_host_mib"]) for each in rows
    }
    best = {
        name for name, own in cost.items()
        if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in cost.values())
    }  # fmt: skip
    answer = only(chosen(rows)[1])
    assert {each["variant"] for each in answer["pareto"]} == best
    assert 1 < len(best) < len(rows)
    assert len(answer["dominated"]) == len(rows) - len(best)


def test_an_axis_that_no_row_knows_is_left_out_and_said(said):
    code, text = said([row("alpha", quality=None), row("beta", quality=None, speed=50)])
    assert code == 0
    assert "not an axis, since no row here knows it: KL" in text


def test_a_row_with_an_unknown_axis_is_not_placed(chosen):
    answer = only(chosen([row("alpha"), row("beta", speed=50, quality=None)])[1])
    assert answer["unplaced"] == [{"name": "Beta float32", "unknown": ["kl"]}]
    assert answer["dominated"] == []


# -- workloads, filters, warnings --------------------------------------------------------------------------------------


def test_workloads_are_never_compared_in_one_pick(chosen):
    rows = [row("alpha", workload="w1"), row("beta", speed=900, workload="w2", batch_size=8)]
    _, found = chosen(rows)
    assert [(each["workload"], each["pick"]["engine"]) for each in found["answers"]] == [
        ("w1", "alpha"),
        ("w2", "beta"),
    ]
    _, found = chosen(rows, "--workload", "w1")
    assert only(found)["pick"]["engine"] == "alpha"


def test_same_name_and_other_work_has_an_answer_of_its_own(call, tmp_path):
    """Two directories whose model and shape have the same name, and other weights or prompts."""
    one, two = directory(tmp_path / "a", [row(workload="w1")]), directory(tmp_path / "b", [row(workload="w2", speed=1)])
    code, out, _ = call("choose", one, two)
    assert code == 0
    assert "2 workloads, an answer for each" in out
    assert "(workload w1)" in out
    assert "(workload w2)" in out


def test_one_workload_with_a_pick_is_an_answer(chosen):
    rows = [row("alpha", workload="w1"), row("beta", speed=900, workload="w2", batch_size=8)]
    code, found = chosen(rows, "--min-tps", "500")
    assert (code, [bool(each["pick"]) for each in found["answers"]]) == (0, [False, True])


def test_a_workload_that_is_not_there(call, tmp_path):
    place = directory(tmp_path / "r", [row()])
    line = complaint(call("choose", place, "--workload", "w9"))
    assert line == "--workload 'w9' is none of these results': w1 (m: batch 1, 4 prompt + 3 new tokens)"


def test_filters(chosen):
    rows = [row("alpha"), row("beta", speed=900, precision="int8"), row("gamma", speed=999, device="cuda")]
    _, found = chosen(rows, "--device", "cpu", "--precision", "float32,int8", "--engines", "alpha,gamma")
    assert (only(found)["pick"]["engine"], only(found)["left_out"]) == ("alpha", 2)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--engines", "alhpa"], "unknown engine in these results 'alhpa': did you mean 'alpha'? valid: alpha, beta"),
    (["--device", "cuda"], "unknown device in these results 'cuda': "),
    (["--engines", "alpha", "--precision", "int8"], "no row has all of precision int8, engine alpha"),
    (["--max-memory", "16"], "Invalid value for '--max-memory': expected a number with a unit"),
    (["--min-top1", "99"], "Invalid value for '--min-top1': a share lies between 0 and 1: 0.99 or 99%"),
    (["--objective", "speed"], "Invalid value for '--objective'"),
])  # fmt: skip
def test_a_mistake_is_one_line(call, tmp_path, arguments, message):
    place = directory(tmp_path / "r", [row("alpha"), row("beta", precision="int8")])
    assert complaint(call("choose", place, *arguments)).startswith(message)


def test_the_quick_profile_is_warned_of(said):
    _, text = said([row(flags=["not_a_measurement"], spread=STEADY[:1])])
    assert "warning: the quick profile is not a measurement" in text


def test_what_a_reader_must_know_of_the_pick_is_said(said):
    _, text = said([row(flags=["synthetic_weights"], caveat="only a label")])
    assert f"note: {Flag.SYNTHETIC_WEIGHTS.note}; only a label" in text


def test_hostile_names_are_text_on_a_terminal(said):
    rows = [row("alpha", title=HOSTILE, variant="v1"), row("beta", speed=50, title=HOSTILE, variant=HOSTILE, model="m"),
            failed("gamma", title=HOSTILE, reason=HOSTILE)]  # fmt: skip
    code, text = said(rows, "--min-tps", "60")
    assert code == 0
    assert "\x1b" not in text
    assert "<script>alert(1)</script>" in text


def test_it_is_strict_json_and_tells_the_unit(chosen):
    _, found = chosen(FLEET, "--max-memory", "16GB")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["constraints"][0]["limit"] == pytest.approx(16e9 / 2**20)
    assert found["constraints"][0]["unit"] == "MiB"
    assert set(only(found)["pick"]["values"]) == {metric.key for metric in asked_for()}


def test_a_fleet_that_cannot_be_told_apart_is_not_listed_whole(said):
    _, text = said([row("alpha", f"v{i}", spread=STEADY[:1]) for i in range(60)])
    assert text.count("cannot tell apart from") == 20
    assert "nor from 39 more: --format json lists them" in text


def test_many_rows(chosen):
    rows = [row("alpha", f"v{i}", 1 + i * 7919 % 10007, peak=float(1 + i * 104729 % 9973)) for i in range(2000)]
    _, found = chosen(rows)
    assert len(only(found)["dominated"]) + len(only(found)["pareto"]) == 2000


# -- results that are none ---------------------------------------------------------------------------------------------


def test_a_directory_without_rows(call, tmp_path):
    assert "no row; name a directory in which" in complaint(call("choose", directory(tmp_path / "r", [])))


def test_help_has_examples(call):
    code, out, _ = call("choose", "--help")
    assert code == 0
    assert "./benchmark.sh choose results/mine --max-memory 16GB --min-top1 99%" in out
    assert "Exit code 4" in out
