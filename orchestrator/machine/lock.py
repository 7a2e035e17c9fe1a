"""One run at a time on each physical device."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.base.clock import now
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
    until, told = time.monotonic() + wait_s, False
    while True:
        try:
            held = _lock_all(device, directory)
            break
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise
            if not told:
                say(f"{error}; waiting for it up to {wait_s:.0f} s")
                told = True
            time.sleep(POLL_S)
    with held:
        yield


def _lock_all(device: Device, directory: Path) -> ExitStack:
    """The locked files, all or none."""
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for key in device.lock_keys:
            file = held.enter_context((directory / f"{key}.lock").open("a+", encoding="utf-8"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise BlockingIOError(f"{device.name} is in use by another run: {holder}") from None
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "since": now()}))
            file.flush()
        return held.pop_all()
