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
) -> Iterator[None]:  # fmt: skip
    """Hold one lock per physical device; raises BlockingIOError naming the holder when another run keeps it `wait_s`.

    A lock dies with its holder. What is held is given up before each pause, so that two that wait for two GPUs do not
    wait for each other.
    """
    until, is_announced = time.monotonic() + wait_s, False
    while True:
        try:
            held = _lock_all(device, directory)
            break
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise
            if not is_announced:
                say(f"{error}; waiting for it up to {wait_s:.0f} s")
                is_announced = True
            time.sleep(POLL_S)
    with held:
        yield


def _lock_all(device: Device, directory: Path) -> ExitStack:
    """All locks of the device, or none. Beside each lies a file that names its holder."""
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for key in device.lock_keys:
            holder = directory / f"{key}.json"
            try:
                held.enter_context(FileLock(directory / f"{key}.lock").acquire(blocking=False))
            except Timeout:
                name = holder.read_text(encoding="utf-8") if holder.is_file() else "unknown"
                raise BlockingIOError(f"{device.name} is in use by another run: {name}") from None
            write_atomically(
                holder,
                json.dumps({"pid": os.getpid(), "since": datetime.now(timezone.utc).isoformat(timespec="seconds")}),
            )
        return held.pop_all()
