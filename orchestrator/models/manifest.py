"""The sha256 of every file of a model: its identity, and the check that it is unchanged.

`manifest.json` in a model's folder is `{"files": {"config.json": "<sha256>", ...}}`.
"""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec

from orchestrator.base.errors import UserError
from orchestrator.base.files import write_json
from orchestrator.base.progress import ByteProgress
from orchestrator.base.reading import convert, parse

NAME = "manifest.json"
READ_BYTES = 8 * 2**20
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$", description="64 hex digits")]
HASHING_THREADS = 2  # hashlib releases the GIL; more threads would only compete for the disk


class Manifest(msgspec.Struct):
    """manifest.json of a model's folder, or of an artefact's."""

    files: Annotated[dict[str, Sha256], msgspec.Meta(min_length=1)]  # by name, below the folder


def digest(files: dict[str, str]) -> str:
    """The model's identity: sha256 over the lines `<sha256>  <name>` (as sha256sum prints them), sorted by name."""
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def compute(folder: Path, names: Iterable[str], say: Callable[[str], None]) -> dict[str, str]:
    """`{name: sha256}` of the named files of `folder`, with progress through `say`."""
    names = sorted(names)
    progress = ByteProgress(f"checking {folder.name}", sum((folder / name).stat().st_size for name in names), say)
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        return dict(zip(names, pool.map(lambda name: _sha256(folder / name, progress), names), strict=True))


def write(folder: Path, files: dict[str, str]) -> None:
    """Write `manifest.json` into `folder`, atomically."""
    write_json(folder / NAME, {"files": files})


def read(folder: Path) -> dict[str, str]:
    """The `{name: sha256}` of `folder/manifest.json`. Raises UserError if it is not of that form."""
    path = folder / NAME
    try:
        files = convert(parse(path.read_text(encoding="utf-8")), Manifest).files
        if not all(map(_plain, files)):
            raise ValueError("a name leads out of the folder")
    except (OSError, ValueError) as error:
        raise UserError(
            f'{path} is not a manifest: expected {{"files": {{"<name>": "<sha256>", ...}}}} ({error})'
        ) from None
    return files


def verify(
    folder: Path,
    must_list: Iterable[str],
    remedy: str,
    say: Callable[[str], None],
    hashed: Callable[[list[str]], dict[str, str]] | None = None,
) -> dict[str, str]:
    """Check every file that `folder/manifest.json` lists, and return that manifest.

    It must list the files in `must_list`: weights without a hash are not verified. `hashed` replaces `compute` (for
    cached hashes). Raises UserError naming the file, both hashes, and the `remedy`, a phrase that says what to do.
    """
    if not (folder / NAME).is_file():
        raise UserError(f"{folder / NAME} is missing: {remedy}")
    files = read(folder)
    for name in sorted(must_list):
        if name not in files:
            raise UserError(f"{folder / name} is not listed in {NAME}: {remedy}")
    for name in sorted(files):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing, but {NAME} lists it: {remedy}")
    actual = hashed(list(files)) if hashed else compute(folder, files, say)
    for name, expected in sorted(files.items()):
        if actual[name] != expected:
            raise UserError(
                f"{folder / name} was changed or damaged: {NAME} says sha256 {expected}, the file has {actual[name]}: "
                f"{remedy}"
            )
    return files


def _plain(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts


def _sha256(path: Path, progress: ByteProgress) -> str:
    sha = hashlib.sha256()
    buffer = memoryview(bytearray(READ_BYTES))
    with path.open("rb", buffering=0) as handle:
        while count := handle.readinto(buffer):
            sha.update(buffer[:count])
            progress.advance(count)
    return sha.hexdigest()
