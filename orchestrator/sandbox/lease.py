"""The lease that tells a launch that the orchestrator lives: a file lock, freed by the kernel when its owner dies."""

from __future__ import annotations

import fcntl
import os
import tempfile
import weakref
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

PREFIX = "llm-bench-lease-"


class Lease:
    """A locked file. `path` is None if files cannot be locked: then nothing ends a launch after a SIGKILL of its owner.

    common/supervise.py, in the container, tries the same lock, which needs no clock and no writes during a measurement.
    `isolation` is part of its name: a container's lease stays until the container is removed.
    """

    def __init__(self, isolation: str) -> None:
        # Renamed after locking: `sweep` deletes unlocked files of the final name.
        descriptor, name = tempfile.mkstemp(prefix=f".{PREFIX}{isolation}-")
        os.chmod(name, 0o644)  # opened by another user inside the container
        path = Path(name).with_name(Path(name).name[1:])
        # Removed when this process exits; one that is killed leaves an empty file.
        self._remove = weakref.finalize(self, _remove, descriptor, path)
        self.path: Path | None = path
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.path = None
        os.rename(name, path)


def sweep(isolation: str, keep: Collection[Path] = ()) -> None:
    """Remove the leases that killed processes left, except those in `keep`."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}{isolation}-*"):
        if path not in keep and is_free(path):
            with suppress(OSError):  # another user's, or already removed
                path.unlink()


def _remove(descriptor: int, path: Path) -> None:
    os.close(descriptor)
    path.unlink(missing_ok=True)


def is_free(path: Path) -> bool:
    """Whether the lease's owner is dead; False if it lives or the file does not exist."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
