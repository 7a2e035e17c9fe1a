"""Files and folders that other processes see whole or not at all: locks, scratch folders, atomic writes."""

import glob
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from orchestrator.base.errors import UserError

GIB = 2**30


@contextmanager
def only_one(lock: Path, doing: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `lock` for the body; a second process waits, and says for what (`doing`).

    The lock dies with the process that holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        say(f"another process is {doing}: waiting for it")
        held.acquire()
    try:
        yield
    finally:
        held.release()


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """A folder beside `place` with an empty out/ in it, for a task whose result is then renamed; gone in the end.

    The caller holds `only_one` for `place`: whatever is found here was left by a process that was killed.
    """
    for left in place.parent.glob(f".{glob.escape(place.name)}.*"):
        if left.suffix[1:].isdecimal():
            shutil.rmtree(left, ignore_errors=True)
    work = place.with_name(f".{place.name}.{os.getpid()}")
    (work / "out").mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def publish(made: Path, final: Path) -> None:
    """Rename the finished folder `made` to `final`, readable by every user.

    The containers run as another user, so what a strict umask made private must be opened first.
    """
    for path in made.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    made.chmod(0o755)
    made.rename(final)


def need_disk(folder: Path, needed: int, what: str) -> None:
    """Raise UserError unless the file system of `folder` (which exists) has `needed` bytes free, and 1 GiB to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + GIB:
        raise UserError(
            f"not enough disk for {what}: {needed / GIB:.1f} GiB (and 1 GiB to spare) needed, "
            f"{free / GIB:.1f} GiB free at {folder}; free some space or put the cache on another disk"
        )


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` atomically, indented for a person."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`: a reader sees the old file or the new one, never a half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
