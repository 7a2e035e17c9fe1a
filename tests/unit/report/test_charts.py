"""The charts and answers of report.html: what they show of a summary's rows, and when they have nothing to show."""

import plotly.graph_objects as go
import pytest

from orchestrator.report.charts import figures, spread, style, tradeoffs
from orchestrator.report.charts.figures import draw_figures
from orchestrator.report.page import highlights
from tests.support import summaries
from tests.support.summaries import failed, row

HOSTILE = "<b>x</b> <a href='javascript:1'>y</a>\n%{x} &lt;" + "z" * 500


def speeds(**of):
    """Rows of known speeds, with intervals of 1 % about them."""
    made = row("alpha", "int8")
    return [
        {**made, "variant": name, "decode_tps": value(speed), "quality": {**made["quality"]}}
        for name, speed in of.items()
    ]


def value(median, low=None, high=None):
    return {"median": median, "low": low or 0.99 * median, "high": high or 1.01 * median, "level": 0.9375,
            "mean": median, "std": 0.1, "values": [median] * 5}  # fmt: skip


# -- charts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [summaries.summary, summaries.shapes, lambda: summaries.fleet(300)])
def test_plotly_takes_every_figure(make):
    found = draw_figures(make())
    assert {drawn.name for drawn in found} == set(figures.CHARTS)
    for drawn in found:
        if drawn.figure:
            made = go.Figure(drawn.figure)  # raises ValueError for what Plotly does not know
            assert made.layout.title.text == drawn.title


def test_what_cannot_be_drawn_says_why():
    summary = summaries.summary([failed()], timeline=[])
    found = draw_figures(summary)
    assert [drawn.name for drawn in found if drawn.figure] == []
    assert all(drawn.lacking.endswith(".") for drawn in found)


def test_the_front_holds_what_no_other_row_beats():
    points = {"a": (1, 5), "b": (2, 5), "c": (3, 7), "d": (2, 6), "e": (3, 6), "f": (4, 7), "g": (0.5, None)}
    made = [row(variant=name) for name in points]
    cost, gain = (lambda each: points[each["variant"]][0]), (lambda each: points[each["variant"]][1])
    assert [each["variant"] for each in tradeoffs.pareto(made, gain, cost)] == ["a", "d", "c"]


def test_speed_against_quality_joins_the_front():
    made = [row("alpha", precision) for precision in ("float32", "int8", "int4")]
    for each, speed, top1 in zip(made, (10, 20, 15), (1.0, 0.99, 0.95), strict=True):
        each.update(decode_tps=value(speed), quality={**each["quality"], "top1": top1})
    front, points, *_ = tradeoffs.speed_quality(summaries.summary(made))["data"]
    assert (front["x"], front["y"]) == ([20.0, 10.0], [99.0, 100.0])
    assert points["x"] == [10, 20, 15]
    assert points["error_x"]["array"] == pytest.approx([0.1, 0.2, 0.15])


@pytest.mark.parametrize(("changes", "mib"), [
    ({"peak_host_mib": 100.0, "peak_mapped_file_mib": 40.0}, 140.0),
    ({"peak_host_mib": 100.0, "peak_mapped_file_mib": None}, None),
    ({"peak_host_mib": None, "peak_mapped_file_mib": 40.0}, None),
    ({"device": "cuda", "peak_device_mib": 7.0}, 7.0),
    ({"device": "cuda", "peak_device_mib": None}, None),
])  # fmt: skip
def test_memory_is_what_must_be_free(changes, mib):
    assert tradeoffs.memory_mib(row(**changes)) == mib


def test_the_limit_is_at_100_percent():
    made = [row("alpha", "int8", mbu=0.5), row("beta", "int8", mbu=0.8), row("gamma", "int8", mbu=None)]
    figure = figures.CHARTS["limit"].build(summaries.summary(made))
    assert figure["data"][0]["x"] == [50.0, 80.0]  # the best on top
    assert (figure["layout"]["shapes"][0]["x0"], figure["layout"]["shapes"][0]["x1"]) == (100, 100)


def test_only_rows_that_differ_in_the_shape_alone_form_a_line():
    made = [row("alpha", "int8", batch_size=size) for size in (4, 1)] + [row("beta", "int8", batch_size=1)]
    figure = figures.CHARTS["batch"].build(summaries.summary(made))
    assert [trace["x"] for trace in figure["data"]] == [[1, 4]]
    assert figures.CHARTS["context"].build(summaries.summary(made)) is None


def test_few_steps_have_no_tail():
    made = row("alpha", "int8")
    made["itl_quantiles"] = {**made["itl_quantiles"], "count": 63}
    box, points = spread.step_times(summaries.summary([made]))["data"]
    assert (box["lowerfence"][0], box["upperfence"][0]) == (points["x"][0], points["x"][2])
    assert "too few steps for a tail" in points["hovertext"][0]


def test_launches_stand_about_their_median():
    made = row("alpha", "int8", decode_tps={**value(100.0), "values": [90.0, 100.0, 105.0]}, blocks=[0, 1, 3])
    [trace] = spread.launches(summaries.summary([made]))["data"]
    assert trace["x"] == pytest.approx([-10, 0, 5])
    assert "launch 4: 105 tokens/s" in trace["hovertext"][2]


def test_the_timeline_shows_launches_and_what_is_known_of_the_machine():
    summary = summaries.summary([row("alpha", "int8"), failed("beta", "int8")])
    figure = figures.CHARTS["timeline"].build(summary)
    bars = figure["data"][0]
    assert len(bars["x"]) == 6
    assert bars["base"][0] == 0
    titles = [
        axis["title"]["text"] for name, axis in figure["layout"].items() if name.startswith("yaxis") and "title" in axis
    ]
    assert titles == [
        "others' CPU<br>% of a core",
        "stolen CPU<br>% of a core",
        "bandwidth<br>GB/s",
        "CPU clock<br>MHz",
    ]


def test_each_merged_run_has_a_timeline_of_its_own():
    entries = [*summaries.timeline([row()], source="one"), *summaries.timeline([row()], source="two")]
    found = draw_figures(summaries.summary([row()], timeline=entries))
    assert [drawn.about for drawn in found if drawn.name == "timeline"] == ["one", "two"]


def test_too_many_points_are_thinned_and_the_front_stays():
    made = speeds(**{f"v{number}": 1 + number % 997 for number in range(4 * style.POINTS)}, best=5000)
    figure = tradeoffs.speed_quality(summaries.summary(made))
    assert (
        f"{len(made)} rows are too many to draw: every 5th and the front are shown"
        in figure["layout"]["title"]["subtitle"]["text"]
    )
    points = figure["data"][1]["x"]
    assert len(points) < 1.1 * style.POINTS
    assert 5000 in points


def test_names_are_text_for_plotly():
    shown = style.plain(HOSTILE)
    assert "<" not in shown
    assert "\n" not in shown
    assert shown.startswith("&lt;b&gt;x&lt;/b&gt; &lt;a href")
    assert len(shown) < 80


# -- answers -----------------------------------------------------------------------------------------------------------


def asked(rows):
    return dict(zip(("fastest", "faithful", "smallest", "frugal"), highlights.answers(rows), strict=True))


def test_answers():
    made = [row("alpha", precision) for precision in ("float32", "int8", "int4")]
    for each, speed, top1, peak, joule in zip(
        made, (10, 20, 40), (1.0, 0.992, 0.95), (900, 500, 300), (4.0, 2.0, 2.5), strict=True
    ):
        each.update(
            decode_tps=value(speed), quality={**each["quality"], "top1": top1}, peak_host_mib=peak,
            peak_mapped_file_mib=0, energy_j_per_token=joule,
        )  # fmt: skip
    found = asked(made)
    assert (found["fastest"].who, found["fastest"].figure) == ("Alpha int4", "40.0 [39.6, 40.4] tokens/s")
    assert found["fastest"].lines == ["top-1 agreement 95.00 %"]
    assert found["faithful"].question == "Fastest that keeps 99 % top-1 agreement"
    assert found["faithful"].who == "Alpha int8"
    assert (found["smallest"].who, found["smallest"].figure) == ("Alpha int4", "0.31 GB at the peak")
    assert (found["frugal"].who, found["frugal"].figure) == ("Alpha int8", "0.50 tokens/J")


def test_rows_whose_intervals_overlap_are_not_told_apart():
    made = speeds(a=100, b=99, c=98.5, d=50)
    assert "cannot be told from Alpha b, Alpha c" in asked(made)["fastest"].lines


def test_without_intervals_nobody_is_truly_first():
    made = speeds(a=100)
    made[0] |= {"decode_tps": {**made[0]["decode_tps"], "low": None, "high": None, "level": None}, "launches": 2}
    assert "2 launches a row are too few to say that it is truly first" in asked(made)["fastest"].lines


def test_what_nothing_answers_says_why_and_names_the_nearest():
    made = speeds(a=100, b=90)
    for each, top1 in zip(made, (0.9, 0.95), strict=True):
        each.update(
            quality={**each["quality"], "top1": top1}, peak_host_mib=9e5, energy_j_per_token=None,
            energy_validity="unreadable: no counter",
        )  # fmt: skip
    found = asked(made)
    assert found["faithful"].lines == ["No row does; nearest is Alpha b with 95.00 %."]
    assert found["smallest"].lines[0].startswith("No row does; the smallest is Alpha a with 94")
    assert found["frugal"].lines == ["No row's energy is known (unreadable: no counter)."]


def test_rows_of_unknown_quality_are_counted():
    made = speeds(a=100, b=90)
    made[0]["quality"], made[1]["quality"]["top1"] = None, 0.995
    found = asked(made)
    assert found["fastest"].lines == ["quality not measured"]
    assert found["faithful"].who == "Alpha b"
    assert found["faithful"].lines[-1] == "1 of 2 rows are of unknown quality"


def test_failed_rows_answer_nothing():
    assert [each.figure for each in highlights.answers([failed()])] == [None] * 4
