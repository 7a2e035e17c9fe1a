"""A cache on disk: converted models, references, generated weights, lists of packages."""

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
    """Files or folders in `folder`, keyed by their inputs. Never exposes an unfinished one."""

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self._folder, self._say = folder, say

    def get(self, key: str, doing: str, make: Callable[[Path], Path]) -> Path:
        """The file or folder `key`; if missing, `make` is called once, even by concurrent processes.

        `make` gets a scratch folder with an empty out/ and returns the path in it to keep. `doing` describes it to
        users whose process waits for another.
        """
        path = self._folder / key
        if not path.exists():
            with only_one(path.with_name(f".{key}.lock"), doing, self._say):
                if not path.exists():
                    with _scratch(path) as work:
                        make(work).rename(path)
        return path


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A folder beside `path`, removed afterwards, as are the folders that killed processes left."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if stale.suffix[1:].isdecimal():
            shutil.rmtree(stale, ignore_errors=True)
    work = path.with_name(f".{path.name}.{os.getpid()}")
    (work / "out").mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def json_hash(value: object, digits: int = 64) -> str:
    """The first hex digits of the SHA-256 of `value`, JSON or records, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=vars).encode()).hexdigest()[:digits]
