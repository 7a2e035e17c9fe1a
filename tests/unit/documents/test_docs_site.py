"""The documentation as a site: it builds without a warning, has every engine, and loads nothing from elsewhere."""

import re
import subprocess
import sys

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.plan import engine_yaml

pytest.importorskip("material", reason="mkdocs-material is not installed")
LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src(?:set)?=\"?(https?:[^\"\s>]+)|<link[^>]+stylesheet[^>]+(https?:\S+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return out


def test_every_engine_has_a_page_in_the_navigation(site):
    text = (site / "engines" / "index.html").read_text(encoding="utf-8")
    for name in engine_yaml.discover():
        assert (site / "engines" / f"{name}.html").is_file()
        assert f'href="{name}.html"' in text


def test_nothing_is_loaded_from_another_host(site):
    loaded = {match for page in site.rglob("*.html") for match in LOADED.findall(page.read_text(encoding="utf-8"))}
    assert loaded == set()
