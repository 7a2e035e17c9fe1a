"""README.md and docs/: what is generated there is true, README fits a screen, the marks around generated parts work."""

import pytest

from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.cli import command_reference, main
from orchestrator.plan import engine_yaml
from orchestrator.report import documents
from orchestrator.report.documents import Sources

SOURCES = Sources(
    ROOT,
    [engine for engine in engine_yaml.discover().values() if not engine.test_only],
    command_reference.as_markdown(main.cli),
)
GENERATED = documents.render(SOURCES)
MARKED = "before\n<!-- generated: {} (./benchmark.sh list --update) -->\nold\n<!-- end of generated part -->\nafter\n"


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_generated_is_up_to_date(path):
    assert path.is_file() and path.read_text(encoding="utf-8") == GENERATED[path], "run ./benchmark.sh list --update"


def test_every_published_run_has_pictures_and_its_tables_in_the_docs():
    for name in SOURCES.published:
        page = (ROOT / "docs" / "results" / f"{name}.md").read_text(encoding="utf-8")
        for table in ("interval", "memory", "evidence", "failures"):
            assert f"<!-- generated: published-table {table} {name} " in page
        assert {f"{name}-light.svg", f"{name}-dark.svg"} <= {path.name for path in GENERATED}


def test_readme_shows_the_newest_published_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    newest = list(SOURCES.published)[-1]
    assert f"<!-- generated: published-overview {newest} " in text
    assert f"docs/pictures/{newest}-light.svg" in text and f"docs/pictures/{newest}-dark.svg" in text


def test_readme_fits_a_screen():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []


def test_update_changes_only_what_lies_between_the_marks(tmp_path):
    page = tmp_path / "bench" / "page.md"
    page.parent.mkdir()
    page.write_text(MARKED.format("architectures"))
    sources = Sources(tmp_path, SOURCES.engines, "")
    assert documents.update(sources, page) == [page]
    text = page.read_text()
    assert text.startswith("before\n<!-- generated: architectures") and text.endswith("part -->\nafter\n")
    assert "old" not in text and all(engine.title in text for engine in SOURCES.engines)
    assert documents.update(sources, page) == []


def test_links_to_engines_start_where_the_page_lies(tmp_path):
    page = tmp_path / "docs" / "engines" / "index.md"
    page.parent.mkdir(parents=True)
    page.write_text(MARKED.format("engines"))
    documents.update(Sources(tmp_path, SOURCES.engines, ""), page)
    assert "](../../bench_" in page.read_text()


@pytest.mark.parametrize(("text", "complaint"), [
    ("no marks at all\n", "page.md has no generated part"),
    (MARKED.format("architecture"), "architectures"),
    (MARKED.format("published-overview 1999-01-01"), "published run"),
])  # fmt: skip
def test_a_mark_that_names_nothing_is_refused(tmp_path, text, complaint):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(UserError, match=complaint):
        documents.update(Sources(tmp_path, SOURCES.engines, ""), page)
    assert page.read_text() == text


def test_list_update_names_the_files_that_it_changed(call, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(MARKED.format("command-line"))
    assert call("list", "--update", page)[:2] == (0, f"{page}\n")
    assert "## replay" in page.read_text() and "`--fail-on-regression 5%`" in page.read_text()
    code, _, errors = call("list", "--update", tmp_path / "gone.md")
    assert code == 2 and "no such file" in errors[0]
