"""The run's journal: append-only, fsynced, one JSON record a line. The only source of truth about what was measured."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UserError, is_disk_full
from orchestrator.base.reading import parse

NAME = "journal.jsonl"
SCHEMA = 1  # of a `run` record and all that follow it
FORM = {  # what the readers of a record of each kind rely on
    "run": {"time": str, "model": str, "seed": int, "cells": list, "device": dict},
    "model": {"name": str},
    "cell": {"label": str, "keys": list},
    "cell_end": {"label": str, "outcome": str},
    "launch": {"label": str, "block": int, "key": str, "outcome": str, "gates": dict, "directory": str},
    "own_benchmark": {"label": str, "block": int},
    "end": {"outcome": str},
}


class Journal:
    """Kinds: `run` (request, host), `model`, `cell` (its keys), `cell_end` (without a launch), `launch`, `end`."""

    def __init__(self, directory: Path):
        self.path = directory / NAME
        fresh = not self.path.exists()
        if not fresh:
            _drop_torn_line(self.path)
        self._file = self.path.open("ab", buffering=0)
        if fresh:
            _sync_directory(directory)

    def append(self, kind: str, **record: Any) -> None:
        """Write one record and wait until the disk has it.

        Raises OSError; on a full disk the journal is then as it was before.
        """
        line = (json.dumps({"kind": kind, **record}, allow_nan=False) + "\n").encode()
        whole = os.fstat(self._file.fileno()).st_size
        try:
            while line:  # unbuffered: a full disk takes a part
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            if not is_disk_full(error):
                raise
            os.ftruncate(self._file.fileno(), whole)
            raise OSError(
                error.errno, "no space left; free some, and continue with --resume", str(self.path)
            ) from error

    def close(self) -> None:
        """Give the file back; every record is on disk already."""
        self._file.close()


def read(directory: Path) -> Iterator[dict[str, Any]]:
    """The records, oldest first. A torn last line, as a power cut leaves it, is left out.

    Raises UserError for a damaged line before it: what is missing there cannot be known.
    """
    path = directory / NAME
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = parse(line.decode("utf-8"))
            except ValueError:
                record = None
            if not _is_record(record):
                raise UserError(f"{path} line {number} is damaged: restore the file, or measure into another --out")
            yield record


def _is_record(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        return False
    if record["kind"] == "run" and record.get("schema") != SCHEMA:
        return True  # of another suite; whoever reads it says so
    if not all(isinstance(record.get(key), kind) for key, kind in FORM.get(record["kind"], {}).items()):
        return False
    place = Path(record.get("directory", "")) if record["kind"] == "launch" else Path()
    return not place.is_absolute() and ".." not in place.parts


def identity(directory: Path) -> dict[str, Any]:
    """Which run this is, and how far its journal goes: {"run_id", "journal": {"sha256", "records"}}.

    The id is made of the first record (time, command, seed, machine), which a resumed or copied run keeps.
    """
    lines = (directory / NAME).read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    digest = hashlib.sha256(b"".join(whole)).hexdigest()
    return {
        "run_id": hashlib.sha256(whole[0]).hexdigest()[:16],
        "journal": {"sha256": digest, "records": len(whole)},
    }


def now() -> str:
    """The time as the journal writes it: UTC, ISO 8601, in seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _drop_torn_line(path: Path) -> None:
    """Move a torn last line to `journal.torn`, so that the next record starts on a line of its own."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.with_name("journal.torn").write_bytes(content[len(whole) :])
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
