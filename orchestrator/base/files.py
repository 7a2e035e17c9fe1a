"""Files and folders that other processes see whole or not at all: locks, atomic writes."""

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


def open_to_all(folder: Path) -> None:
    """Let every user read `folder`: containers run as another one, and a strict umask may have made it private."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


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
