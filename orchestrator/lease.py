"""The lease by which a launch knows that the orchestrator lives: a lock that the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
import tempfile
import weakref
from pathlib import Path


class Lease:
    """A locked file. `path` is None where files cannot be locked: nothing then watches over what a SIGKILL leaves.

    common/supervise.py, in the container, tries the same lock. That needs no clock and no writing while a launch is
    measured.
    """

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="llm-bench-lease-")
        self.path: Path | None = Path(name)
        os.chmod(name, 0o644)  # opened by another user inside the container
        # Removed when this process ends in good order; what a killed one leaves is an empty file.
        self._remove = weakref.finalize(self, _remove, descriptor, self.path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.path = None


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
