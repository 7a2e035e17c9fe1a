"""File locks, atomic writes, permissions and free disk space."""

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
    """Hold the lock file `lock` for the body; a second process waits and prints what the first is `doing`.

    The kernel frees the lock when its process ends.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    file_lock = FileLock(lock)
    try:
        file_lock.acquire(blocking=False)
    except Timeout:
        say(f"another process is {doing}: waiting for it")
        file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()


def open_to_all(folder: Path) -> None:
    """Let every user read `folder`: containers run as another user, and a strict umask makes files private."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def need_disk(folder: Path, needed: int, what: str) -> None:
    """Raise UserError unless the file system of the existing `folder` has `needed` bytes and 1 GiB to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + GIB:
        raise UserError(
            f"not enough disk for {what}: {needed / GIB:.1f} GiB (and 1 GiB to spare) needed, "
            f"{free / GIB:.1f} GiB free at {folder}; free some space or put the cache on another disk"
        )


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` atomically, indented for people."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`: readers see the old file or the new one, never a partial one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
