"""The table of report.html in a real browser: sort, filter, details, keyboard."""

import csv

import pytest
from playwright.sync_api import expect

from tests.support import summaries

HEADS = {"engine": "Engine", "variant": "Variant", "decode": "Decode tok/s", "top1": "Top-1"}


def column(page, name):
    """The column's place among those that are shown, from 1."""
    heads = [text.strip() for text in page.locator("#rows thead th").all_inner_texts()]
    return heads.index(HEADS[name]) + 1


def cells(page, name):
    place = column(page, name)
    return [text.split("\n")[0] for text in page.locator(f"#rows tbody td:nth-child({place})").all_inner_texts()]


def heading(page, text):
    return page.locator("#rows thead th", has_text=text).first


def numbers(texts):
    return [float(text.removesuffix(" %")) for text in texts if text[0].isdigit()]


def eventually(page, read, wanted):
    """`read()` gives `wanted`, at the latest in five seconds: the table sorts in its own time after a click."""
    for _ in range(100):
        if read() == wanted:
            return
        page.wait_for_timeout(50)
    assert read() == wanted


def choose(page, name, value):
    page.get_by_label(f"Filter: {name}").select_option(value)


@pytest.fixture
def page(look):
    return look(summaries.summary())


def test_all_rows_the_fastest_first_and_those_without_a_number_last(page):
    speeds = cells(page, "decode")
    assert len(speeds) == 23
    assert numbers(speeds) == sorted(numbers(speeds), reverse=True)
    assert sorted(speeds[-4:]) == ["build_failed", "build_failed", "load_failed", "unsupported"]


def test_intervals_and_flags_are_shown(page):
    row = page.locator("#rows tbody tr", has_text="noisy_host")
    assert row.count() == 1
    rows = summaries.summary()["rows"]
    value = next(row for row in rows if "noisy_host" in row["flags"])["decode_tps"]
    written = f"[{value['low']:.1f}, {value['high']:.1f}]"
    assert row.locator(f"td:nth-child({column(page, 'decode')}) small").inner_text() == written


def test_a_click_sorts_and_another_turns_it_round(page):
    rising = sorted(numbers(cells(page, "top1")))
    assert rising[0] < rising[-1]
    heading(page, "Top-1").click()
    eventually(page, lambda: numbers(cells(page, "top1")), rising)
    heading(page, "Top-1").click()
    eventually(page, lambda: numbers(cells(page, "top1")), rising[::-1])
    assert cells(page, "top1")[-4:] == ["–"] * 4  # unknown comes last both ways


def test_the_keyboard_sorts(page):
    page.locator("#filters select").last.focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        if "Engine" in page.evaluate("document.activeElement.closest('th')?.innerText ?? ''"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows thead th[aria-sort='ascending']:has-text('Engine')")
    eventually(page, lambda: cells(page, "engine"), sorted(cells(page, "engine")))
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows thead th[aria-sort='descending']:has-text('Engine')")
    eventually(page, lambda: cells(page, "engine"), sorted(cells(page, "engine"), reverse=True))


def test_lists_filter(page):
    choose(page, "Engine", "Beta")
    assert set(cells(page, "engine")) == {"Beta"}
    choose(page, "Precision", "int8")
    assert cells(page, "variant") == ["int8"]
    choose(page, "Engine", "")
    assert sorted(cells(page, "engine")) == ["Alpha", "Beta", "Delta", "Epsilon", "Gamma"]
    choose(page, "Precision", "")
    choose(page, "Flags", "not_steady")
    assert len(cells(page, "engine")) == 1
    choose(page, "Flags", "")
    choose(page, "Outcome", "load_failed")
    assert cells(page, "decode") == ["load_failed"]


def test_typing_filters(page):
    page.get_by_label("Search").fill("delta int4")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    assert (cells(page, "engine"), cells(page, "variant")) == (["Delta"], ["int4"])
    page.get_by_label("Search").fill("no such engine")
    page.wait_for_selector("#rows .dt-empty")


def test_details_open_with_the_keyboard(page):
    button = page.locator("#rows tbody tr", has_text="not_steady").locator("button.more")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    told = page.locator("#rows tbody dl").inner_text()
    assert "int8 is weight-only" in told
    assert "warm-up did not settle" in told
    assert "alpha-int8-0123456789abcdef" in told
    page.keyboard.press("Enter")
    assert page.locator("#rows tbody dl").count() == 0


def test_columns_can_be_chosen(page):
    assert heading(page, "Perplexity").count() == 0
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("button", name="Perplexity").click()
    assert heading(page, "Perplexity").count() == 1


def test_the_rows_that_are_left_are_saved_as_csv(page):
    choose(page, "Engine", "Gamma")
    with page.expect_download() as saving:
        page.get_by_role("button", name="CSV").click()
    lines = [line for line in csv.reader(saving.value.path().open(encoding="utf-8-sig")) if line]
    assert lines[0][:3] == ["Engine", "Variant", "Decode tok/s"]
    assert {line[0] for line in lines[1:]} == {"Gamma"}
    assert len(lines) == 1 + 6
    assert "null" not in {cell for line in lines for cell in line}


def test_many_rows_come_in_pages(look):
    page = look(summaries.fleet(300))
    assert len(cells(page, "engine")) == 25
    assert "1 to 25 of 300 rows" in page.locator("#table").inner_text()
    page.get_by_label("Next").click()
    expect(page.locator("#table")).to_contain_text("26 to 50 of 300 rows")
