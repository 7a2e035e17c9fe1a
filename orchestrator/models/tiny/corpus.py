"""Text and tokenizer of the bundled model: English prose from the documentation packages of Debian 12.

Every package is pinned by version and sha256, every licence is permissive or public domain, and the text does not
depend on the order of directories or hash tables.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tarfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

BOS, EOS, VOCAB = "<s>", "</s>", 4096


@dataclass(frozen=True)
class Source:
    """One Debian package and the pages used from it."""

    package: str
    version: str
    sha256: str  # of the .deb file
    pages: str  # pattern of the pages taken, matched from the start of the path below /usr/share/doc/
    skip: str  # pattern of pages left out, searched in the path
    licence: str
    text: str  # a description for people


@dataclass(frozen=True)
class Document:
    """One page of documentation as plain text, paragraphs separated by empty lines."""

    name: str
    text: str


# Release notes and indexes are left out everywhere: they are lists of fragments, not prose.
SOURCES = (
    Source(
        "python3.11-doc", "3.11.2-6+deb12u9", "5b3594189d6ef9a6963ce0347fd307a1cc67620ad697e144db366070e2e146be",
        r"python3\.11/html/.*\.html$", r"changelog|genindex|modindex|search\.html|contents\.html|/license\.html",
        "PSF-2.0", "Python 3.11 documentation",
    ),
    Source(
        "python-django-doc", "3:3.2.25-0+deb12u7", "87307f067916df72e17180d35b7cde5c7ea6080336cda518efd7f6e66988a7ca",
        r"python-django-doc/html/.*\.html$", r"/_modules/|genindex|modindex|search\.html|contents\.html|/releases/",
        "BSD-3-Clause", "Django 3.2 documentation",
    ),
    Source(
        "postgresql-doc-15", "15.20-0+deb12u1", "4c44bf2c599f208b3f46454a6cf7a72e25ec46ff74d37b59dd31ad76b00eebb7",
        r"postgresql-doc-15/html/.*\.html$", r"/release|bookindex|biblio|errcodes-appendix|sql-keywords|features",
        "PostgreSQL", "PostgreSQL 15 documentation",
    ),
    Source(
        "sqlite3-doc", "3.40.1-2+deb12u2", "466e30d7066e2641fa13e56bc662a2ad521b8cc9c17dde9c9dac3d4f105e32f2",
        r"sqlite3/.*\.html$", r"/releaselog/|/syntax/|changes\.html|news|matrix|keyword_index|sitemap|consortium",
        "public domain", "SQLite 3.40 documentation",
    ),
    Source(
        "rust-doc", "1.63.0+dfsg1-2", "96ef96fe6df87d939ca713bd7df3d15c2b778ccb892eca025c4ee504146f697b",
        r"rust-doc/html/(book|reference|nomicon|rust-by-example|edition-guide|rustc|rustdoc)/.*\.html$",
        r"print\.html|first-edition|second-edition|2018-edition",
        "MIT or Apache-2.0", "the books of the Rust 1.63 distribution",
    ),
    Source(
        "apache2-doc", "2.4.71-1~deb12u1", "a7b3d1131c1c63dbf9999b28e75f9a133d30f70492b419936bd51759ac77a01f",
        r"apache2-doc/manual/en/.*\.html$", r"quickreference|directives\.html|sitemap|/license\.html",
        "Apache-2.0", "Apache HTTP Server 2.4 manual",
    ),
)  # fmt: skip

# fmt: off
BLOCKS = frozenset((
    "p", "li", "dd", "dt", "h1", "h2", "h3", "h4", "h5", "div", "section", "article", "blockquote", "td", "tr", "ul",
    "ol", "dl", "br", "hr", "main", "body",
))
# Code, tables and figures are not prose; menus and footers repeat on every page.
SKIP_TAGS = frozenset((
    "script", "style", "pre", "table", "nav", "head", "footer", "aside", "form", "select", "button", "svg", "textarea",
    "figure",
))
VOID_TAGS = frozenset((
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
))
# fmt: on
SKIP_CLASSES = re.compile(
    r"sphinxsidebar|related|navheader|navfooter|nosearch|menu|toc|highlight|headerlink|nav\b|top-?lang|bottomlang"
    r"|syntax|directive-table|quickview|up\b|top\b|sig\b|programlisting|screen|footnotes|tagline"
)
SKIP_IDS = re.compile(r"^(sidebar|ft|hd|global-nav|page-header|path|footer|menu-bar|quickview)$")
PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\u00a0": " ", "…": "...", "¶": ""})


class _Prose(HTMLParser):
    """Collects the running text of a page, one string per block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self._words: list[str] = []
        self._skipped_tag = ""  # the tag whose end closes the skipped part, and its nesting depth
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipped_tag:
            self._depth += tag == self._skipped_tag
            return
        named = dict(attrs)
        unwanted = SKIP_CLASSES.search(named.get("class") or "") or SKIP_IDS.match(named.get("id") or "")
        # <p> and <li> may lack an end tag, so skipping one of them by class could swallow the rest of the page.
        if tag not in VOID_TAGS and (tag in SKIP_TAGS or (unwanted and tag not in {"p", "li", "body", "main", "html"})):
            self._skipped_tag, self._depth = tag, 1
        if tag in BLOCKS or self._skipped_tag:
            self.end_block(keep_open=bool(self._skipped_tag) and tag in {"a", "span", "button", "svg"})

    def handle_endtag(self, tag: str) -> None:
        if self._skipped_tag:
            self._depth -= tag == self._skipped_tag
            if self._depth == 0:
                self._skipped_tag = ""
        elif tag in BLOCKS:
            self.end_block()

    def handle_data(self, data: str) -> None:
        if not self._skipped_tag:
            self._words.append(data)

    def end_block(self, keep_open: bool = False) -> None:
        """Close the current block, unless a skipped inline element leaves its sentence open."""
        if keep_open:
            return
        text = " ".join("".join(self._words).split())
        self._words.clear()
        if text:
            self.blocks.append(text)


def prose(html: str) -> list[str]:
    """The English sentences and headings of an HTML page, one string per paragraph, with plain quotes."""
    parser = _Prose()
    parser.feed(html)
    parser.end_block()
    paragraphs = []
    for block in parser.blocks:
        text = block.translate(PLAIN).strip()
        letters = sum((c.isalpha() and c.isascii()) or c == " " for c in text)
        # Sentences only: fragments such as "New in version 3.3." or a lone signature are no prose.
        if len(text.split()) >= 6 and letters >= 0.85 * len(text) and text[-1] in ".:!?)\"'":
            paragraphs.append(text)
    return paragraphs


def fetch(source: Source, folder: Path) -> Path:
    """Path of the package's .deb file, downloaded with apt-get into *folder* if missing; checked by hash.

    Raises SystemExit with the remedy if the download fails or the hash differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{source.package}_{source.version.replace(':', '%3a')}_all.deb"
    if not path.exists():
        package = f"{source.package}={source.version}"
        command = ["apt-get", "download", "-qq", package]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if not path.exists():
            raise SystemExit(
                f"cannot download {package}: {process.stderr.strip()}\nRun this on Debian 12 after `apt-get update`, "
                f"or put {path.name} (Debian's snapshot archive keeps every version) into {folder} and start again."
            )
    if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
        raise SystemExit(f"{path} is not the expected file (sha256 differs): delete it and start again.")
    return path


def pages(source: Source, deb: Path) -> list[tuple[str, str]]:
    """(path, HTML) of the wanted pages inside a .deb file, sorted by path. Nothing is installed or unpacked to disk."""
    texts = []
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        for member in tar:
            name = member.name.removeprefix("./usr/share/doc/")
            if member.isfile() and re.match(source.pages, name) and not re.search(source.skip, name):
                texts.append((name, tar.extractfile(member).read().decode("utf-8", "replace")))
    return sorted(texts)


def build(folder: Path) -> list[Document]:
    """All documents in a fixed order. Of a repeated paragraph only the first copy is kept, so that no held-out
    paragraph is also a training paragraph."""
    seen: set[str] = set()
    documents = []
    for source in SOURCES:
        for name, html in pages(source, fetch(source, folder)):
            fresh = [block for block in prose(html) if not (block in seen or seen.add(block))]
            if sum(map(len, fresh)) >= 400:  # shorter pages are stubs and indexes
                documents.append(Document(name, "\n\n".join(fresh) + "\n"))
    return documents


def is_heldout(document: Document) -> bool:
    """True for about 3 % of the documents, chosen by a hash of the file name."""
    return int(hashlib.sha256(document.name.encode()).hexdigest(), 16) % 100 < 3


def describe(documents: list[Document]) -> dict:
    """Counts and sources of the corpus, and the sha256 over all names and texts in order."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(f"{document.name}\0{document.text}\0".encode())
    return {
        "sha256": digest.hexdigest(),
        "documents": len(documents),
        "heldout_documents": sum(map(is_heldout, documents)),
        "bytes": sum(len(d.text.encode()) for d in documents),
        "sources": [
            {"package": s.package, "version": s.version, "deb_sha256": s.sha256, "licence": s.licence, "text": s.text}
            for s in SOURCES
        ],
    }


def heldout_text(documents: list[Document]) -> str:
    """The quality text: held-out pages of the SQLite documentation, which is in the public domain."""
    chosen = [d for d in documents if d.name.startswith("sqlite3/") and d.name.count("/") == 1 and len(d.text) >= 3000]
    return "\n".join(d.text for d in chosen)


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE of VOCAB entries with GPT-2's pre-tokenizer, which covers any text. Ids: <s> 0, </s> 1."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """One array of ids, [tokens] int64: every document begins with <s> and ends with </s>."""
    return np.concatenate([np.array([*e.ids, 1], dtype=np.int64) for e in tokenizer.encode_batch(texts)])
