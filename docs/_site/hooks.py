"""What mkdocs does beyond its configuration: pages and links that lead out of docs/.

The READMEs of the engines' folders are pages of the site, although they lie beside their code. Other links that leave
docs/ work on a forge; in the site they lead to the forge where `repo_url` is set, and otherwise become plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>(?![a-z]+:|#)[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def _pages() -> dict[str, str]:
    """Path in the repository -> path in the site, of the pages that lie outside docs/."""
    folders = sorted(ROOT.glob("bench_*/README.md"))
    pages = {
        f"{path.parent.name}/README.md": f"engines/{path.parent.name.removeprefix('bench_')}.md" for path in folders
    }
    return {
        **pages,
        "results/published/README.md": "results/published.md",
        "CONTRIBUTING.md": "extend/contributing.md",
        "CHANGELOG.md": "changes.md",
        "SECURITY.md": "trust/reporting.md",
    }


def on_config(config):
    """Put every engine's page into the navigation, below "Engines"."""
    for section in config.nav:
        if "Engines" in section:
            section["Engines"] += sorted(page for page in _pages().values() if page.startswith("engines/"))
    return config


def on_files(files, config):
    """Add the pages that lie outside docs/."""
    for source, page in _pages().items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links that leave docs/ into links within the site or to the forge."""
    moved = {site: source for source, site in _pages().items()}
    here = posixpath.dirname(moved.get(page.file.src_uri, posixpath.join("docs", page.file.src_uri)))

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, match["target"]))
        if target in _pages():
            inside = _pages()[target]
        elif target.startswith("docs/"):
            inside = target.removeprefix("docs/")
        elif config.repo_url:
            return f"[{match['text']}]({config.repo_url.rstrip('/')}/blob/main/{target})"
        else:
            return match["text"]
        relative = posixpath.relpath(inside, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{match['text']}]({relative}{match['anchor'] or ''})"

    return LINK.sub(link, markdown)
