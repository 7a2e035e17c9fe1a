"""The files that a launch writes, in such a way that a reader never sees half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json_atomically(path: Path, value: Any) -> None:
    """Write `value` as JSON: temporary file, fsync, rename. NaN and infinity are refused (ValueError)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, allow_nan=False, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


class SampleLog:
    """samples.jsonl: one line per iteration, on disk as soon as the iteration ends."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")

    def append(self, sample: dict[str, Any]) -> None:
        """Write one line and wait for the disk. Raises OSError, and ValueError for NaN or infinity."""
        self._file.write(json.dumps(sample, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """No sample may follow."""
        self._file.close()
