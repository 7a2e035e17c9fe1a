"""A row of a tensor table, and a reader for binary files that trusts no length in them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.base import reading
from orchestrator.base.escape import visible

MOST_DIMENSIONS = 8  # also bounds the size of a shape's product
MOST_TENSORS = 200_000  # the largest mixtures of experts have fewer than 100 000
LONGEST_NAME = 4096  # bytes
LONGEST_MESSAGE = 400  # characters
LARGEST_JSON = 16 * 2**20  # bytes; Python objects take about twenty times that


@dataclass(frozen=True)
class Tensor:
    """One stored tensor: `shape` row-major, `nbytes` as stored, `file` the name of the file that lists it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    file: str


class UnreadableArtefact(ValueError):
    """A file is damaged or inconsistent. The message, one line, begins with the file's name."""

    def __init__(self, file: Path | str, reason: object):
        name = (file.name or str(file)) if isinstance(file, Path) else file
        line = " ".join(f"{name} {reason}".split())[:LONGEST_MESSAGE]
        super().__init__(visible(line))


def plain_file(directory: Path, name: str) -> Path:
    """The plain file `name` of `directory`. Raises UnreadableArtefact.

    A link could point to a file of the host, and reading a pipe would block forever.
    """
    path, shown = directory / name, name or directory.name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise UnreadableArtefact(shown, "is missing") from None
    if directory.resolve() not in real.parents:
        raise UnreadableArtefact(shown, "lies outside the artefact")
    if not real.is_file():
        raise UnreadableArtefact(shown, "is not a plain file")
    return path


def read_json(path: Path) -> object:
    """The parsed JSON of a plain file. Raises UnreadableArtefact."""
    try:
        return reading.parse(reading.read_text(path.resolve(), LARGEST_JSON))
    except reading.Unreadable as error:
        raise UnreadableArtefact(path, str(error).removeprefix(path.name)) from None
    except ValueError as error:
        raise UnreadableArtefact(path, f"is not valid JSON: {error}") from None


class Binary:
    """A little-endian file, read front to back. Never reads or allocates more than the file has left."""

    def __init__(self, path: Path, handle: BinaryIO):
        self.path, self._handle = path, handle
        self.size = os.fstat(handle.fileno()).st_size
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self.size - self.at

    def skip(self, length: int) -> None:
        """Skip `length` bytes without reading them. Raises UnreadableArtefact."""
        self._check(length)
        self._handle.seek(length, os.SEEK_CUR)
        self.at += length

    def number(self, code: str) -> int:
        """One number; `code` is a format character of `struct`. Raises UnreadableArtefact."""
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def take(self, length: int) -> bytes:
        """The next `length` bytes. Raises UnreadableArtefact."""
        self._check(length)
        raw = self._handle.read(length)
        if len(raw) != length:
            raise UnreadableArtefact(self.path, "shrank while it was read")
        self.at += length
        return raw

    def text(self, length: int) -> str:
        """The next `length` bytes as a name. Raises UnreadableArtefact."""
        if length > LONGEST_NAME:
            raise UnreadableArtefact(self.path, f"has a name of {length} bytes at byte {self.at}")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise UnreadableArtefact(self.path, f"has a name that is no UTF-8 before byte {self.at}") from None

    def count(self, code: str, most: int, what: str) -> int:
        """One number that must not exceed `most`. Raises UnreadableArtefact."""
        value = self.number(code)
        if value > most:
            raise UnreadableArtefact(self.path, f"claims {value} {what}; more than {most} are not believed")
        return value

    def _check(self, length: int) -> None:
        if length > self.left:
            raise UnreadableArtefact(
                self.path, f"is truncated: {length} bytes are claimed at {self.at}, {self.left} are left"
            )


@contextmanager
def opened(path: Path) -> Iterator[Binary]:
    """The file at `path` as a Binary, closed at the end."""
    with path.open("rb") as handle:
        yield Binary(path, handle)
