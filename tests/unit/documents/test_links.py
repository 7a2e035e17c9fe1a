"""Links between the Markdown files lead somewhere, and so does every path below docs/ that code or a message names."""

import os
import re
from functools import cache
from pathlib import Path

import pytest

from orchestrator.base.paths import ROOT

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)|(?:src|href|srcset)=\"(?!\w+:)([^\"#]+)\"")
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"(?<![\w./])docs/[\w/.-]*\w")
TEXT = {".py", ".sh", ".md", ".toml", ".yaml", ".yml", ".j2", ".js", ".rs", ".cff", ""}
LEFT_OUT = {".git", ".venv", ".cache", ".pytest_cache", ".ruff_cache", ".mypy_cache", "__pycache__", "target"}
ELSEWHERE = {ROOT / "results", ROOT / "orchestrator" / "plan" / "template"}  # recorded; laid out in another place


def written() -> list[Path]:
    """The text files of the checkout, but for caches and recorded results."""
    paths = [ROOT / "results" / "published" / "README.md"]
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in set(folders) - LEFT_OUT if Path(folder) / name not in ELSEWHERE)
        paths += [Path(folder) / name for name in sorted(names) if Path(name).suffix in TEXT]
    return paths


FILES = written()
PAGES = [path for path in FILES if path.suffix == ".md"]
NAMING = [path for path in FILES if "docs/" in path.read_text(encoding="utf-8")]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges and mkdocs make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ +(.*?)\s*$", text, re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page):
    broken = []
    for target, anchor, attribute in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        path = (page.parent / (target or attribute)) if target or attribute else page
        if not path.exists():
            broken.append(target or attribute)
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.resolve()):
            broken.append(f"{target}{anchor}")
    assert broken == []


@pytest.mark.parametrize("file", NAMING, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_path_below_docs_that_a_file_names_exists(file):
    named = set(NAMED.findall(file.read_text(encoding="utf-8")))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
