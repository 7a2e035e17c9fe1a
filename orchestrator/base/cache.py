"""What is made once and kept: converted models, references, generated weights, lists of packages."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.base.files import only_one


class Cache:
    """Files or folders in `folder`, by keys that say what they were made from. None is ever seen unfinished."""

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self._folder, self._say = folder, say

    def get(self, key: str, doing: str, make: Callable[[Path], Path]) -> Path:
        """The file or folder `key`. Unless it is there, `make` is called once, however many processes ask.

        `make` gets a scratch folder with an empty out/ in it, and returns what in it is to be kept. Whoever waits for
        another process says what that one is `doing`.
        """
        place = self._folder / key
        if not place.exists():
            with only_one(place.with_name(f".{key}.lock"), doing, self._say):
                if not place.exists():
                    with _scratch(place) as work:
                        make(work).rename(place)
        return place


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """A folder beside `place`, gone in the end. Whatever is there already was left by a process that was killed."""
    for left in place.parent.glob(f".{glob.escape(place.name)}.*"):
        if left.suffix[1:].isdecimal():
            shutil.rmtree(left, ignore_errors=True)
    work = place.with_name(f".{place.name}.{os.getpid()}")
    (work / "out").mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def json_hash(value: object, digits: int = 64) -> str:
    """The first hex digits of the SHA-256 of `value` as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]
