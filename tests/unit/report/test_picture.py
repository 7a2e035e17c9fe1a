"""The picture of a result: every row with a speed, where its figures say, and no markup from outside."""

import xml.etree.ElementTree as ET

import pytest

from orchestrator.report import picture
from tests.support.summaries import failed, metric, row, summary

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert(1)</script> & "quotes"'


def drawn(rows, theme="light"):
    return ET.fromstring(picture.draw(summary(rows), picture.THEMES[theme]))


def texts(image):
    return [text.text for text in image.iter(f"{SVG}text")]


def at(speed, launches=5):
    """A metric whose launches all read the same."""
    return {**metric(speed, NoNoise(), launches)}


class NoNoise:
    def gauss(self, _mean, _deviation):
        return 0.0


def test_rows_with_a_speed_are_drawn_the_engine_of_the_fastest_first():
    image = drawn([row("beta", "float32", decode_tps=at(10)), failed("gamma"), row("alpha", "int8", decode_tps=at(40)),
                   row("alpha", "float32", decode_tps=at(20))])  # fmt: skip
    written = texts(image)
    assert written.index("Alpha") < written.index("Beta") and "Gamma" not in written
    assert {"10.0", "20.0", "40.0"} <= set(written)


def test_a_median_lies_where_the_axis_says():
    image = drawn([row("alpha", "float32", decode_tps=at(20)), row("alpha", "int8", decode_tps=at(40))])
    ticks = {
        text.text: float(text.get("x")) for text in image.iter(f"{SVG}text") if text.get("text-anchor") == "middle"
    }
    legend, dots = 2, [float(circle.get("cx")) for circle in image.iter(f"{SVG}circle")]
    assert sorted(dots[legend:]) == pytest.approx([ticks["20"], ticks["40"]], abs=0.1)


def test_an_interval_is_a_bar_and_is_missing_where_launches_were_too_few():
    def bars(image):
        return [path for path in image.iter(f"{SVG}path") if path.get("stroke-width") == "5"]

    assert len(bars(drawn([row("alpha", decode_tps=at(20, launches=5))]))) == 1
    assert bars(drawn([row("alpha", decode_tps=at(20, launches=1))])) == []


@pytest.mark.parametrize("theme", picture.THEMES)
def test_names_from_outside_are_text(theme):
    image = drawn([row("alpha", title=EVIL, variant=EVIL, model=EVIL)], theme)
    assert EVIL in texts(image)
    assert {element.tag.removeprefix(SVG) for element in image.iter()} <= {
        "svg", "title", "rect", "text", "circle", "path",
    }  # fmt: skip


def test_the_same_summary_gives_the_same_bytes_and_each_theme_its_own():
    results = summary([row("alpha"), row("beta", "int4")])
    light, again, dark = (picture.draw(results, picture.THEMES[name]) for name in ("light", "light", "dark"))
    assert light == again != dark


@pytest.mark.parametrize(("largest", "step"), [(0.7, 0.1), (13, 2), (80, 10), (314, 50), (9000, 2000)])
def test_the_axis_has_round_and_few_labels(largest, step):
    assert picture._tick_step(largest) == pytest.approx(step)


def test_results_without_a_speed_have_no_picture():
    with pytest.raises(ValueError, match="no row of the results has a speed"):
        drawn([failed("alpha")])
