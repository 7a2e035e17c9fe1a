"""The rest of report.html in a real browser: charts, light and dark, phone, keyboard, what failed, hostile names."""

import pytest

from tests.support import summaries
from tests.support.summaries import failed, row

HOSTILE = "x|y\n<script>alert(1)</script><img src=x onerror=alert(2)> &lt;b&gt; %{x} </script>\u2028" + "long " * 200
CHARTS = ("speed-quality", "memory-speed", "limit", "step-times", "launches", "timeline")


@pytest.fixture
def page(look):
    return look(summaries.summary())


def luminance(page, selector, what):
    """0 black … 255 white, of a computed colour."""
    return page.evaluate(
        """([selector, what]) => {
            const canvas = document.createElement("canvas").getContext("2d");
            canvas.fillStyle = getComputedStyle(document.querySelector(selector))[what];
            canvas.fillRect(0, 0, 1, 1);
            return canvas.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((a, b) => a + b) / 3;
        }""",
        [selector, what],
    )


# -- charts ------------------------------------------------------------------------------------------------------------


def test_charts_are_drawn_when_they_are_scrolled_to(page, drawn):
    assert page.locator(".plot").count() == len(CHARTS)
    assert page.locator(".plot.drawn").count() == 0
    for name in CHARTS:
        assert drawn(page, name).locator("svg.main-svg").count() >= 1


def test_the_front_is_drawn(page, drawn):
    plot = drawn(page, "speed-quality")
    assert plot.locator(".scatterlayer .trace path.js-line").count() == 1
    assert "not beaten in both" in plot.locator(".legend").text_content()


def test_the_limit_is_a_line(page, drawn):
    plot = drawn(page, "limit")
    assert plot.locator(".shapelayer path").count() == 1
    assert "measured limit" in plot.inner_text()


def test_a_point_tells_about_itself(page, drawn):
    plot = drawn(page, "speed-quality")
    plot.locator(".scatterlayer .points path").first.hover(force=True)
    label = page.locator(".hoverlayer .hovertext")
    label.wait_for()
    told = label.text_content()
    assert "tokens/s" in told
    assert "top-1" in told
    assert any(engine.title() in told for engine in summaries.ENGINES)


def test_shapes_are_drawn_where_several_were_measured(look, drawn):
    page = look(summaries.shapes())
    assert drawn(page, "context").locator(".scatterlayer .trace").count() == 8
    assert drawn(page, "batch").locator(".scatterlayer .trace").count() == 8


def test_a_chart_without_data_says_why(page):
    assert "Only one batch size was measured" in page.locator("#chart-batch").inner_text()
    assert page.locator("#chart-batch .plot").count() == 0


def test_each_workload_has_its_own_answers_and_charts(look, drawn):
    page = look(summaries.shapes())
    first = page.locator(".cards:visible").inner_text()
    assert page.locator(".cards:visible").count() == 1
    page.get_by_label("Workload").first.select_option(index=4)
    assert page.locator(".cards:visible").count() == 1
    assert page.locator(".cards:visible").inner_text() != first
    drawn(page, "limit")
    assert page.locator("#chart-limit .plot:visible").count() == 1


PRESSABLE = ("button", "[role=button]", "summary", "input[type=button]", "input[type=submit]", ".modebar-btn")


def press_every_button(page, end, limit=400):
    """Press each button once, those that come up meanwhile, too. Returns their labels.

    `end` of what is left, "first" or "last", is pressed next: one of a dialog's buttons closes it before the others.
    """
    labels = []
    left = page.locator(", ".join(f"{kind}:visible:not([data-pressed])" for kind in PRESSABLE))
    while left.count():
        label = getattr(left, end).evaluate(
            """button => {
                button.dataset.pressed = "";
                button.click();
                return button.getAttribute("data-title") || button.getAttribute("aria-label") || button.innerText;
            }"""
        )
        labels.append(label.strip())
        assert len(labels) <= limit, labels
    return labels


def test_no_button_sends_anything_away_or_opens_a_page(look, drawn):
    labels = []
    for end in ("first", "last"):
        page = look(summaries.summary())
        for name in CHARTS:
            drawn(page, name)
        labels += press_every_button(page, end)
        page.wait_for_timeout(300)  # whatever a button has begun; `look` then asserts that nothing was asked for
    assert {"Dark mode", "CSV of these rows", "Details of this row", "Perplexity"} <= set(labels)
    assert labels.count("Download plot as a PNG") == 2 * len(CHARTS)


def test_the_buttons_of_a_chart_are_those_that_are_wanted(page, drawn):
    names = (
        drawn(page, "speed-quality").locator(".modebar-btn").evaluate_all("all => all.map(one => one.dataset.title)")
    )
    assert names == ["Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"]


# -- light and dark ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_system_s_choice_is_followed(look, scheme, dark):
    page = look(summaries.summary(), color_scheme=scheme)
    assert (luminance(page, "body", "backgroundColor") < 80) == dark
    assert (luminance(page, "body", "color") > 150) == dark
    assert (luminance(page, "#rows td", "color") > 150) == dark
    assert page.get_by_role("button", name="Dark mode").get_attribute("aria-pressed") == str(dark).lower()


def test_the_button_changes_it_charts_and_all(look, drawn):
    page = look(summaries.summary(), color_scheme="light")
    drawn(page, "speed-quality")
    tick = "#chart-speed-quality .xtick text"
    assert luminance(page, tick, "fill") < 100
    button = page.get_by_role("button", name="Dark mode")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert luminance(page, "body", "backgroundColor") < 80
    page.wait_for_selector("#chart-speed-quality .plot[data-theme=dark]")
    assert luminance(page, tick, "fill") > 150
    button.click()
    assert luminance(page, "body", "backgroundColor") > 200


# -- phone and keyboard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [summaries.summary, summaries.shapes])
def test_a_phone_needs_no_sideways_scroll(look, drawn, make):
    page = look(make(), width=375)
    for name in CHARTS:
        drawn(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    box = page.locator("#table .scroll")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")  # the table scrolls in its box


def test_the_first_tab_skips_to_the_answers(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the answers"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


# -- what failed, and what lies ---------------------------------------------------------------------------------------


def test_every_failed_cell_is_listed_with_word_reason_and_log(page):
    section = page.locator("#failed")
    text = section.inner_text()
    for word in ("build_failed", "load_failed"):
        assert word in text
    assert "Epsilon int8" in text
    assert "Epsilon int4" in text
    assert "gcc: fatal error: no such file" in text
    assert "ValueError: hidden size 896 is not divisible by 256" in text
    assert "\x1b" not in text
    assert "[31m" not in text  # a log's colours are no text
    section.get_by_text("Not supported").click()
    assert "no float16 kernels on a CPU" in section.inner_text()
    assert section.get_by_role("link", name="why").get_attribute("href") == "https://example.org/float16"


def test_hostile_names_are_text_everywhere(look, drawn):
    rows = [
        row("alpha", precision, variant=f"{precision}{HOSTILE}", title=HOSTILE, model=HOSTILE, machine=HOSTILE,
            flags=[HOSTILE], caveat=HOSTILE, image=HOSTILE, engine_version=HOSTILE, settings={HOSTILE: HOSTILE})
        for precision in ("float32", "int8", "int4")
    ]  # fmt: skip
    rows += [
        failed("beta", "int8", reason=HOSTILE, log=f"{HOSTILE}\ud800", title=HOSTILE, variant=HOSTILE, model=HOSTILE),
        failed("beta", "int4", "unsupported", HOSTILE, HOSTILE, title=HOSTILE, link="javascript:alert(3)"),
    ]
    run = summaries.run(hostname=HOSTILE, command=["run", HOSTILE], images={HOSTILE: HOSTILE})
    run["device"]["name"] = run["model"]["name"] = HOSTILE
    page = look(summaries.summary(rows, run=run), width=375)
    page.locator("button.more").first.click()
    for name in CHARTS:
        drawn(page, name)
    drawn(page, "speed-quality").locator(".scatterlayer .points path").first.hover(force=True)
    assert "<script>alert(1)" in page.locator(".hoverlayer .hovertext").first.text_content()
    for place in ("#answers", "#rows", "#rows dl", "#failed", "#provenance", "#chart-speed-quality .legend"):
        assert "<script>alert(1)" in page.locator(place).first.text_content(), place
    assert page.locator("img:not([class]), body > script[src], a[href^=javascript]").count() == 0
    assert page.locator("#rows tbody > tr:has(button.more)").count() == 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_a_run_in_which_nothing_worked_has_a_page(look):
    rows = [failed("alpha", "int8", "fetch_failed", "no network", None, workload=None)]
    run = summaries.run(model=None, images={})
    page = look(summaries.summary(rows, run=run, limits=None, timeline=[]))
    assert "No row has a decode speed" in page.locator("#answers").inner_text()
    assert page.locator(".plot").count() == 0
    assert "no network" in page.locator("#failed").inner_text()
