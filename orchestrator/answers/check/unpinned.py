"""The doctor's check of this checkout: is all that images are made of pinned, so that a later build is the same?"""

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
        known = engine_yaml.discover(root).values()
    except UserError as error:
        return Finding("pins", "fail", str(error), "mend this file")
    images, locks = set(), set()
    for engine in known:
        for kind, entry in engine.devices.items():
            if entry.support.runs:
                images |= {entry.base} - {None, "none"}
                locks.add(engine.software / "requirements" / f"{kind}.txt")
    found = list(unpinned(known))
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        remedy = "give images as NAME@sha256:... and packages as NAME==VERSION"
        return Finding("pins", "warn", "not pinned: " + "; ".join(found[:SHOWN]) + more, remedy)
    return Finding("pins", "ok", f"{len(images)} base images by digest, {len(locks)} locks by version; {OPEN}")


def unpinned(known: Iterable[Engine]) -> Iterator[str]:
    """One "FILE: what" for each thing that the next build may take in another version."""
    told = set()
    for engine in known:
        for kind, entry in engine.devices.items():
            if not entry.support.runs:
                continue
            if entry.base not in (None, "none") and not DIGEST.search(entry.base):
                yield f"{engine.folder.name}/engine.yaml: the {kind} base image {entry.base}"
            for path in (engine.software / "requirements" / f"{kind}.txt", engine.software / "build.sh"):
                if path in told or not path.is_file():
                    continue
                told.add(path)
                named = _of_script if path.suffix == ".sh" else _of_lock
                yield from (
                    f"{path.parent.relative_to(engine.software.parent)}/{path.name}: {each}" for each in named(path)
                )


def _of_lock(path: Path) -> Iterator[str]:
    for line in _lines(path):
        if not line.startswith(("--hash", "--index", "--extra-index", "--find-links")) and pin_in(line) is None:
            yield line


def _of_script(path: Path) -> Iterator[str]:
    """What a build script installs by name; paths and variables are its own files."""
    for line in _lines(path):
        found = INSTALLS.search(line)
        words = iter(found[1].split() if found else ())
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
