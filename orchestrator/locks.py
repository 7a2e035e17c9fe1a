"""One run at a time on each physical device."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from orchestrator.detection import Device
from orchestrator.journal import now


def device_lock(device: Device, directory: Path):
    """Hold one lock per physical device; raises BlockingIOError naming the holder when another run has it."""
    directory.mkdir(parents=True, exist_ok=True)
    held = []
    for key in device.lock_keys:
        file = (directory / f"{key}.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            for each in held:
                each.close()
            raise BlockingIOError(f"{device.name} is in use by another run: {holder}") from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": now()}))
        file.flush()
        held.append(file)
    return held
