"""The source text of the packages that a lock pins, for a device that does not run here. None of it is executed."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import mac_platforms
from packaging.utils import canonicalize_name
from packaging.version import Version

from orchestrator.base.escape import first_line

COMPILED = "compiled.json"  # beside the sources: the modules of the wheel that are machine code
LARGEST = 20_000_000  # bytes of a source file; larger ones are generated tables, not an API
GLIBC = range(39, 4, -1)  # Ubuntu 24.04 has glibc 2.39, and takes wheels for older ones
MACOS = (15, 0)


@dataclass(frozen=True)
class Pin:
    """One package of a lock."""

    name: str
    version: str

    @property
    def text(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Sources:
    """A wheel's Python files below `folder`, and the names of its compiled modules ("pkg._native")."""

    folder: Path
    compiled: frozenset[str]


def pins(folder: Path, kind: str) -> dict[str, Pin]:
    """The pins of requirements/<kind>.txt and of build.sh, by normalised name."""
    locked: dict[str, Pin] = {}
    for path in (folder / "build.sh", folder / "requirements" / f"{kind}.txt"):  # the lock overrides the script
        if path.is_file():
            code = re.sub(r"(?m)(^|\s)#.*$", "", path.read_text(encoding="utf-8"))
            exact = [pin for word in code.split() if (pin := pin_in(word.strip("\"'"))) is not None]
            locked.update({canonicalize_name(pin.name): pin for pin in exact})
    return locked


def pin_in(requirement: str) -> Pin | None:
    """The package and version of a requirement; None where it allows several versions, or is no requirement.

    Options that follow it in a lock, such as hashes, are ignored.
    """
    try:
        parsed = Requirement(requirement.partition(" --")[0].rstrip(" \\"))
    except InvalidRequirement:
        return None
    exact = [specifier.version for specifier in parsed.specifier if specifier.operator in ("==", "===")]
    return Pin(parsed.name, exact[0]) if exact and not exact[0].endswith(".*") else None


def pin_of(module: str, locked: dict[str, Pin]) -> Pin | None:
    """The package that provides a top-level module: that of its name, or else the shortest that begins with it."""
    name = canonicalize_name(module)
    longer = sorted((package for package in locked if package.startswith(f"{name}-")), key=len)
    return locked.get(name) or (locked[longer[0]] if longer else None)


def python_of(folder: Path, kind: str) -> str | None:
    """The Python that the head of requirements/<kind>.txt names, such as "3.12"."""
    lines = (folder / "requirements" / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
    head = itertools.takewhile(lambda line: line.startswith("#"), lines)
    version = re.search(r"Python (3\.\d+)", "\n".join(head))
    return version.group(1) if version else None


def sources(pin: Pin, python: str, kind: str, cache: Path, environment: dict[str, str]) -> Sources | str:
    """Fetch the wheel of `pin` once and keep its source text in `cache`. Returns one line where there is no wheel."""
    version = Version(pin.version).public  # torch 2.9.1+cu130 has the Python files of 2.9.1
    kept = cache / f"{canonicalize_name(pin.name)}-{version}-{python}-{'macos' if kind == 'metal' else 'linux'}"
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            wheels, partial = Path(temporary, "wheels"), Path(temporary, "partial")
            command = [
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--only-binary=:all:", "--python-version", python, *_platforms(kind), "--dest", str(wheels),
                f"{pin.name}=={version}",
            ]  # fmt: skip
            done = subprocess.run(
                command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
            )
            wheel = next(wheels.glob("*.whl"), None)
            if done.returncode or wheel is None:
                errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
                return first_line(errors[-1].removeprefix("ERROR: ") if errors else "pip fetched no wheel")
            _extract(wheel, partial)
            try:
                partial.rename(kept)
            except OSError:  # another check was faster
                if not kept.is_dir():
                    raise
    return Sources(kept, frozenset(json.loads((kept / COMPILED).read_text(encoding="utf-8"))))


def _platforms(kind: str) -> list[str]:
    if kind == "metal":
        tags = list(mac_platforms(MACOS, "arm64"))
    else:
        tags = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["manylinux2014_x86_64", "linux_x86_64"]
    return [word for tag in tags for word in ("--platform", tag)]


def _extract(wheel: Path, folder: Path) -> None:
    compiled = []
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            # A wheel may keep modules in <name>.data/purelib.
            entry.filename = re.sub(r"^[^/]+\.data/(pure|plat)lib/", "", entry.filename)
            if entry.filename.endswith((".py", ".pyi")) and entry.file_size <= LARGEST:
                archive.extract(entry, folder)  # which keeps to `folder` whatever the name
            elif library := re.fullmatch(r"([\w/]+?)(\.[\w-]+)*\.(so|pyd)", entry.filename):
                compiled.append(library.group(1).replace("/", "."))
    folder.mkdir(exist_ok=True)
    (folder / COMPILED).write_text(json.dumps(sorted(compiled)), encoding="utf-8")
