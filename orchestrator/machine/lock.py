"""One run at a time on each physical device."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from orchestrator.base.files import write_atomically
from orchestrator.machine.detect import Device

POLL_S = 0.5


@contextmanager
def device_lock(
    device: Device, directory: Path, wait_s: float = 0, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Lock every physical device of `device`. Raises BlockingIOError naming the owner if that takes over `wait_s`.

    The kernel frees a dead owner's lock. A partial set of locks is released before each pause: two runs that wait for
    the same two GPUs would deadlock otherwise.
    """
    deadline, is_announced = time.monotonic() + wait_s, False
    while True:
        try:
            locks = _lock_all(device, directory)
            break
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise
            if not is_announced:
                say(f"{error}; waiting for it up to {wait_s:.0f} s")
                is_announced = True
            time.sleep(POLL_S)
    with locks:
        yield


def _lock_all(device: Device, directory: Path) -> ExitStack:
    """All locks of the device, or none. A file beside each lock names its owner."""
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for key in device.lock_keys:
            holder = directory / f"{key}.json"
            try:
                locks.enter_context(FileLock(directory / f"{key}.lock").acquire(blocking=False))
            except Timeout:
                owner = holder.read_text(encoding="utf-8") if holder.is_file() else "unknown"
                raise BlockingIOError(f"{device.name} is in use by another run: {owner}") from None
            write_atomically(
                holder,
                json.dumps({"pid": os.getpid(), "since": datetime.now(timezone.utc).isoformat(timespec="seconds")}),
            )
        return locks.pop_all()
