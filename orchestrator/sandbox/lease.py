"""The lease by which a launch knows that the orchestrator lives: a lock that the kernel frees when its holder dies."""

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
    """A locked file. `path` is None where files cannot be locked: nothing then watches over what a SIGKILL leaves.

    common/supervise.py, in the container, tries the same lock. That needs no clock and no writing while a launch is
    measured. `isolation` is part of its name: a container's lease stays until the container is removed.
    """

    def __init__(self, isolation: str) -> None:
        # Under its own name once it is locked: see `sweep`.
        descriptor, name = tempfile.mkstemp(prefix=f".{PREFIX}{isolation}-")
        os.chmod(name, 0o644)  # opened by another user inside the container
        path = Path(name).with_name(Path(name).name[1:])
        # Removed when this process ends in good order; what a killed one leaves is an empty file.
        self._remove = weakref.finalize(self, _remove, descriptor, path)
        self.path: Path | None = path
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.path = None
        os.rename(name, path)


def sweep(isolation: str, kept: Collection[Path] = ()) -> None:
    """Remove the leases that killed processes left, but for those in `kept`."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}{isolation}-*"):
        if path not in kept and is_free(path):
            with suppress(OSError):  # another user's, or another process does the same
                path.unlink()


def _remove(descriptor: int, path: Path) -> None:
    os.close(descriptor)
    path.unlink(missing_ok=True)


def is_free(path: Path) -> bool:
    """True where the lease's holder is dead; False where it lives, or where there is no such file to tell."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
