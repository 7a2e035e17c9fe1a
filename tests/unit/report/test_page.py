"""report.html as text: what it is made of, what it may load (nothing), what a hostile name can do in it (nothing)."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from orchestrator.base import escape
from orchestrator.report import write
from orchestrator.report.page import document, embed, failures, row_table
from orchestrator.results.merge import merge_results
from orchestrator.results.summary import summarise
from tests.support import summaries
from tests.support.contenders import cell
from tests.support.results_directory import results
from tests.support.summaries import failed, row

HOSTILE = "x|y\n<script>alert(1)</script><!-- <img src=x onerror=alert(2)> &amp; </style>\u2028\u202e%{x}"


class Elements(HTMLParser):
    """All elements with their attributes and, of scripts, their content."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.scripts, self._open = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_data(self, data):
        if self.found[-1:] and self.found[-1][0] == "script":
            self.scripts[-1][1] += data

    def handle_endtag(self, tag):
        self.found.append((f"/{tag}", {}))

    def data(self, name):
        return json.loads(next(text for attributes, text in self.scripts if attributes.get("id") == name))


@pytest.fixture(scope="module")
def page():
    return document.render(summaries.summary())


def hostile_summary():
    bad = [
        row("alpha", "float32", variant=HOSTILE, title=HOSTILE, model=HOSTILE, machine=HOSTILE, flags=[HOSTILE],
            caveat=HOSTILE, image=HOSTILE, engine_version=HOSTILE, settings={HOSTILE: HOSTILE}),
        failed("beta", "int8", reason=HOSTILE, log=f"{HOSTILE}\x00\ud800", title=HOSTILE, model=HOSTILE),
        failed("beta", "int4", "unsupported", HOSTILE, HOSTILE, title=HOSTILE, link="javascript:alert(3)"),
    ]  # fmt: skip
    run = summaries.run(hostname=HOSTILE, command=["run", HOSTILE], images={HOSTILE: HOSTILE}, started=HOSTILE)
    run["device"]["name"] = HOSTILE
    return summaries.summary(bad, run=run)


# -- one file ----------------------------------------------------------------------------------------------------------


def test_it_has_its_parts(page):
    ids = {attributes.get("id") for _, attributes in Elements(page).found}
    assert {"answers", "table", "charts", "failed", "provenance", "theme"} <= ids
    assert page.startswith('<!doctype html>\n<html lang="en">')


def test_nothing_is_loaded(page):
    found = Elements(page).found
    assert not {tag for tag, _ in found} & {
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "video",
        "audio",
        "base",
        "form",
    }
    for _, attributes in found:
        assert not {"src", "srcset", "data", "action", "background", "style"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
    targets = [attributes["href"] for tag, attributes in found if tag == "a"]
    assert {target for target in targets if not target.startswith("#")} == {"https://example.org/float16"}
    assert not re.search(r"url\(\s*['\"]?(?!data:)", page)
    assert "@import" not in page


def test_the_policy_allows_its_one_script_and_no_request(page):
    elements = Elements(page)
    policy = next(attributes["content"] for tag, attributes in elements.found if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src" not in policy
    assert "unsafe-eval" not in policy
    script = next(text for attributes, text in elements.scripts if "type" not in attributes)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' blob:;" in policy


def test_the_libraries_unpack_to_what_the_packages_hold(page):
    for name, start in (("plotly", b"/**\n* plotly.js"), ("datatables", b"var ")):
        text = next(text for attributes, text in Elements(page).scripts if attributes.get("id") == f"library-{name}")
        assert embed.gzip.decompress(base64.b64decode(text)).startswith(start)


def test_ten_thousand_rows_stay_below_20_mb():
    text = document.render(summaries.fleet(10_000))
    assert len(text.encode()) < 20e6
    data = re.search(r'<script type="application/json" id="table-data">(.*?)</script>', text)[1]
    assert len(json.loads(data)["rows"]) == 10_000
    assert "9500 rows are too many to draw" in text  # those that are ok


# -- hostile text ------------------------------------------------------------------------------------------------------


def test_hostile_text_makes_no_element():
    hostile = Elements(document.render(hostile_summary()))
    assert {tag for tag, _ in hostile.found if not tag.startswith("/")} == {
        "html", "head", "meta", "title", "style", "body", "a", "header", "div", "h1", "button", "p", "b", "ul", "li",
        "nav", "main", "noscript", "code", "section", "h2", "h3", "article", "table",
        "script", "span", "details", "summary", "pre", "dl", "dt", "dd", "br", "small", "footer",
    }  # fmt: skip
    assert not [attributes for _, attributes in hostile.found if "javascript:" in str(attributes)]
    assert [text for _, text in hostile.scripts if "alert(1)</script>" in text] == []
    assert hostile.data("table-data")["rows"][0][1] == HOSTILE


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "\u2028\u2029", "&lt;", "]]>", "\"'\\", "\ud800"])
def test_json_is_read_back_and_holds_no_markup(text):
    written = embed.as_json({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert not re.search("[<>&\u2028\u2029]", written)


@pytest.mark.parametrize(("log", "plain"), [
    ("\x1b[1;31mred\x1b[0m", "red"), ("\x1b]0;title\x07text", "text"), ("10 %\r20 %\r\nend", "10 %\n20 %\nend"),
    ("a\x00b\x08c\td", "a\ufffdb\ufffdc\td"),
])  # fmt: skip
def test_logs_are_plain_text(log, plain):
    assert escape.log_text(log) == plain


# -- what failed -------------------------------------------------------------------------------------------------------


def test_cells_that_failed_alike_stand_together():
    found, unsupported, left_out = failures.failures(summaries.summary()["rows"])
    assert [(each.outcome, each.cells) for each in found] == [
        ("build_failed", ["Epsilon int8", "Epsilon int4"]),
        ("load_failed", ["Gamma int4"]),
    ]
    assert found[1].log == "loading /model\nValueError: hidden size 896 is not divisible by 256"
    assert [(each.headline, each.link) for each in unsupported] == [
        ("no float16 kernels on a CPU", "https://example.org/float16")
    ]
    assert left_out == 0


def test_a_log_that_the_reason_holds_already_is_not_repeated():
    reason = "exit code 1\nTraceback (most recent call last):\nValueError: bad"
    made = failed(reason=reason, log="Traceback (most recent call last):\nValueError: bad\n")
    [found], _, _ = failures.failures([made])
    assert (found.headline, found.reason, found.log) == ("ValueError: bad", reason, None)
    [found], _, _ = failures.failures([failed(reason="two\nlines", log="starting\ntwo\nlines\n")])
    assert (found.headline, found.reason, found.log) == ("two", None, "starting\ntwo\nlines\n")


def test_long_logs_are_left_out_in_the_end_and_that_is_said(monkeypatch):
    monkeypatch.setattr(failures, "LOGS_LIMIT", 250)
    made = [failed(variant=str(number), reason=f"bad {number}", log=f"{number}" * 100) for number in range(3)]
    found, _, left_out = failures.failures(made)
    assert [each.log is None for each in found] == [False, False, True]
    assert left_out == 1
    assert "For 1 of these groups reason and log are left out" in document.render(summaries.summary(made))


# -- the summary that it is made from ----------------------------------------------------------------------------------


def test_made_up_rows_have_what_summarised_ones_have(tmp_path):
    summary = summarise(results(tmp_path / "r", [cell()], 5))
    assert summaries.row().keys() == summary["rows"][0].keys()
    assert summaries.failed().keys() == summary["rows"][0].keys()
    assert summaries.summary().keys() == summary.keys()
    assert summaries.timeline([row()])[0].keys() == summary["timeline"][0].keys()


def test_it_is_written_beside_the_report_of_a_run_and_of_merged_runs(tmp_path):
    directories = [results(tmp_path / name, [cell(name)], 5) for name in ("one", "two")]
    write.write(directories[0], summarise(directories[0]))
    assert "One float32" in (directories[0] / "report.html").read_text(encoding="utf-8")
    merged = merge_results(directories)
    assert [entry["source"] for entry in merged["timeline"][::5]] == [str(each) for each in directories]
    write.write(tmp_path, merged)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [line[0] for line in Elements(text).data("table-data")["rows"]] == ["One", "Two"]


def test_a_summary_of_an_earlier_version_has_a_page():
    summary = summaries.summary()
    summary.pop("timeline")
    for each in summary["rows"]:
        for key in ("itl_quantiles", "log_tail", "artefact", "started", "energy_idle_subtracted_j_per_token"):
            each.pop(key)
    text = document.render(summary)
    assert "The launches&#39; times are not known" in text
    assert "No row has step times" in text


def test_a_quick_run_says_that_it_is_no_measurement(page):
    assert "This is not a measurement" not in page
    run = summaries.run(is_measurement=False)
    assert "This is not a measurement" in document.render(summaries.summary(run=run))


def test_many_workloads_are_cut_and_that_is_said():
    made = [row("alpha", "int8", number, prompt_tokens=number + 1) for number in range(document.WORKLOADS + 3)]
    text = document.render(summaries.summary(made))
    assert f"Answers and charts of the first {document.WORKLOADS} workloads" in text
    assert "rows of the other 3 as well" in text
    assert text.count('<option value="w') == document.WORKLOADS


def test_columns_that_say_the_same_of_all_rows_are_hidden():
    made = summaries.summary()["rows"]
    shown = {column["title"]: column["shown"] for column in row_table.table(made)["columns"]}
    assert not shown["Machine"] and not shown["Workload"]
    made[0] = {**made[0], "machine": "other"}
    shown = {column["title"]: column["shown"] for column in row_table.table(made)["columns"]}
    assert shown["Machine"] and not shown["Workload"]
