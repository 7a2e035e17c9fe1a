"""The doctor's check of this checkout: is everything pinned that images are built from, so that builds repeat?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.answers.check.pinned import pin_in
from orchestrator.base.errors import UserError
from orchestrator.machine.doctor.diagnosis import Finding
from orchestrator.plan import engine_yaml
from orchestrator.plan.engine import Engine

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
INSTALLS = re.compile(r"\b(?:pip|uv pip) +(?:install|download) +(.*)")
TAKES_A_VALUE = ("-r", "-d", "-c", "-i", "-f", "--progress-bar", "--no-binary", "--only-binary", "--index-url",
                 "--extra-index-url", "--find-links", "--target")  # fmt: skip
OPEN = "versions of Debian's packages and the wheels' hashes are not pinned (docs/trust/security.md)"
SHOWN = 5


def check_pins(root: Path) -> Finding:
    """Base images without a digest and packages without a version, of every device that an engine runs on."""
    try:
        engines = engine_yaml.discover(root).values()
    except UserError as error:
        return Finding("pins", "fail", str(error), "mend this file")
    images, locks = set(), set()
    for engine in engines:
        for kind, entry in engine.devices.items():
            if entry.support.runs:
                images |= {entry.base} - {None, "none"}
                locks.add(engine.software / "requirements" / f"{kind}.txt")
    loose = list(unpinned(engines))
    if loose:
        more = f" and {len(loose) - SHOWN} more" if len(loose) > SHOWN else ""
        remedy = "give images as NAME@sha256:... and packages as NAME==VERSION"
        return Finding("pins", "warn", "not pinned: " + "; ".join(loose[:SHOWN]) + more, remedy)
    return Finding("pins", "ok", f"{len(images)} base images by digest, {len(locks)} locks by version; {OPEN}")


def unpinned(engines: Iterable[Engine]) -> Iterator[str]:
    """ "FILE: what" for everything of which the next build may take another version."""
    read = set()
    for engine in engines:
        for kind, entry in engine.devices.items():
            if not entry.support.runs:
                continue
            if entry.base not in (None, "none") and not DIGEST.search(entry.base):
                yield f"{engine.folder.name}/engine.yaml: the {kind} base image {entry.base}"
            for path in (engine.software / "requirements" / f"{kind}.txt", engine.software / "build.sh"):
                if path in read or not path.is_file():
                    continue
                read.add(path)
                names = _of_script(path) if path.suffix == ".sh" else _of_lock(path)
                file = f"{path.parent.relative_to(engine.software.parent)}/{path.name}"
                yield from (f"{file}: {name}" for name in names)


def _of_lock(path: Path) -> Iterator[str]:
    for line in _lines(path):
        if not line.startswith(("--hash", "--index", "--extra-index", "--find-links")) and pin_in(line) is None:
            yield line


def _of_script(path: Path) -> Iterator[str]:
    """The packages that a build script installs by name; paths and variables are its own files."""
    for line in _lines(path):
        install = INSTALLS.search(line)
        words = iter(install[1].split() if install else ())
        for quoted in words:
            word = quoted.strip("\"'")
            if word in TAKES_A_VALUE:
                next(words, None)
            elif re.match(r"[A-Za-z]", word) and "/" not in word and pin_in(word) is None:
                yield word


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split(" #")[0].strip()
        if text and not text.startswith("#"):
            yield text
