"""The run's journal: append-only, fsynced, one JSON record per line. It decides what counts as measured."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

import msgspec

from orchestrator.base.errors import UserError, is_disk_full
from orchestrator.base.escape import one_line
from orchestrator.base.reading import convert, parse

NAME = "journal.jsonl"
SCHEMA = 1  # of a `run` record and all that follow it


class Head(msgspec.Struct):
    """What every record has, whoever wrote it."""

    kind: str  # of record


class CellOfRun(msgspec.Struct):
    """One cell of a request."""

    label: str  # names the cell in every other record
    engine: str  # name of the engine
    title: str  # the engine's name in tables
    declared_version: str  # the engine's version as engine.yaml has it
    variant: str  # name of the variant
    precision: str  # the column
    scheme: str  # how the weights are held, in the engine's own word
    settings: dict[str, Any]  # of the variant
    batch_size: int  # prompts that are continued together
    prompt_tokens: int  # tokens of each prompt
    new_tokens: int  # tokens generated for each prompt
    caveat: str | None  # engine.yaml's note on this variant and device
    link: str | None  # where to read more of the caveat
    verified: str | bool  # where the engine was verified on such a device; false: nowhere


class DeviceOfRun(msgspec.Struct):
    """The device that a run measures on."""

    kind: str  # cpu, cuda, rocm or metal
    name: str  # as its driver gives it
    ids: list[str]  # of the devices; several GPUs are used as one
    key: str | None = None  # under which it is locked
    detail: dict[str, Any] = {}  # what the driver says of it


class Run(msgspec.Struct, tag_field="kind", tag="run"):
    """The request, and the host. A resumed run writes it again."""

    time: str  # UTC, ISO 8601
    model: str  # as --model named it
    seed: int  # of the order of launches
    device: DeviceOfRun  # to measure on
    cells: list[CellOfRun]  # what is to be measured
    isolation: str  # docker or venv
    profile: str  # quick, standard or publish
    is_measurement: bool  # false: of a profile whose figures are none
    launches: int  # asked for of each cell
    repetitions: int  # measured iterations of each launch
    threads: int  # compute threads
    hostname: str  # of the machine
    host: dict[str, Any]  # machine.host.facts
    command: list[str] = []  # the command line
    artefacts: str | None = None  # convert or ready
    entry: str | None = None  # the model's entry, a file
    prompt: str | None = None  # a text of the user's own
    wall_s: float | None = None  # limit of a launch, in seconds
    memory_limit: int | str | None = None  # of a container
    with_quality: bool = True  # variants are compared with the float32 reference
    schema: int = SCHEMA


class ModelOfRun(msgspec.Struct, tag_field="kind", tag="model"):
    """The model, once it is there."""

    name: str  # as --model names it
    digest: str  # sha256 over its manifest
    synthetic: bool  # its weights are random
    parameters: int  # number of weights
    vocab_size: int | None = None  # number of token ids
    manifest: dict[str, str] = {}  # sha256 by file
    config: dict[str, Any] = {}  # its config.json


class Planned(msgspec.Struct, tag_field="kind", tag="cell"):
    """A cell that is ready to be launched."""

    label: str  # of the cell
    keys: list[str]  # of its launches, by block
    workload: str  # hash of model, lengths and prompts
    image: str  # name of the image, or of the virtual environment
    image_id: str  # the image's id
    recipe: list[str]  # the commands that make the image
    artefact: dict[str, str] | None = None  # name and digest of what is loaded; null: the checkpoint itself
    architecture: dict[str, str | None] | None = None  # note and link of engine.yaml on this family of models
    ready_made: dict[str, Any] | None = None  # the ready-made checkpoint: scheme, source, revision, digest, files


class CellEnd(msgspec.Struct, tag_field="kind", tag="cell_end"):
    """A cell that ended without a launch."""

    label: str  # of the cell
    outcome: str  # the outcome word
    reason: str  # why


class Launched(msgspec.Struct, tag_field="kind", tag="launch"):
    """The end of a launch."""

    label: str  # of the cell
    block: int  # number of the block, from 0
    key: str  # hash of image, model, artefact, job and block
    outcome: str  # the outcome word
    gates: dict[str, str]  # verdict by gate
    directory: str  # of the launch, below that of the run
    reason: str | None = None  # why it is not ok
    noisy: bool = False  # others used the host meanwhile
    started: str | None = None  # UTC, ISO 8601
    wall_s: float | None = None  # seconds, with the container's start

    def __post_init__(self) -> None:
        place = Path(self.directory)
        if place.is_absolute() or ".." in place.parts:
            raise ValueError("directory: a path below that of the run")


class OwnBenchmark(msgspec.Struct, tag_field="kind", tag="own_benchmark"):
    """What the benchmark that the engine ships said, right after a launch."""

    label: str  # of the cell
    block: int  # number of the block, from 0
    key: str | None = None  # of the launch before it
    decode_tps: float | None = None  # tokens/s
    prefill_tps: float | None = None  # tokens/s
    reason: str | None = None  # why there is none


class Standards(msgspec.Struct, tag_field="kind", tag="standards"):
    """What the launches are held against."""

    limits: dict[str, Any] | None  # of the device: bandwidth, matrix products
    calibration: str  # the gate's verdict on the suite's own delays
    reference: dict[str, Any] | None  # the float32 reference: engine, version, questions, answers, directory
    no_reference: str | None  # why there is none


class End(msgspec.Struct, tag_field="kind", tag="end"):
    """The end of a run."""

    outcome: str  # finished, or why not
    time: str | None = None  # UTC, ISO 8601


Record = Run | ModelOfRun | Planned | CellEnd | Launched | OwnBenchmark | Standards | End
KINDS = {kind.__struct_config__.tag: kind for kind in get_args(Record)}


class Journal:
    """Writes one run's journal; KINDS declares the fields of each kind of record."""

    def __init__(self, directory: Path):
        self.path = directory / NAME
        is_new = not self.path.exists()
        if not is_new:
            _drop_torn_line(self.path)
        self._file = self.path.open("ab", buffering=0)
        if is_new:
            _sync_directory(directory)

    def append(self, kind: str, **record: Any) -> None:
        """Write one record and wait until it is on disk.

        Raises ValueError for a record that KINDS does not declare; OSError, which on a full disk leaves the journal as
        it was.
        """
        line = (json.dumps({"kind": kind, **record}, allow_nan=False) + "\n").encode()
        convert(parse(line.decode()), KINDS[kind])
        if undeclared := record.keys() - set(KINDS[kind].__struct_fields__):
            raise ValueError(f"journal: {kind} has no {', '.join(sorted(undeclared))}")
        size = os.fstat(self._file.fileno()).st_size
        try:
            while line:  # unbuffered: a full disk may take only a part
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            if not is_disk_full(error):
                raise
            os.ftruncate(self._file.fileno(), size)
            remedy = "no space left; free some, and continue with --resume"
            raise OSError(error.errno, remedy, str(self.path)) from error

    def close(self) -> None:
        """Close the file; every record is on disk already."""
        self._file.close()


def read(directory: Path) -> Iterator[dict[str, Any]]:
    """The records, oldest first, without a torn last line, as a power cut leaves it.

    Raises UserError for any other damaged line, since what it held is unknown.
    """
    path = directory / NAME
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = parse(line.decode("utf-8"))
                _check(record)
            except ValueError as error:
                remedy = "restore the file, or measure into another --out"
                raise UserError(f"{path} line {number} is damaged ({one_line(error)}): {remedy}") from None
            yield record


def _check(record: Any) -> None:
    """Raise ValueError for an invalid record; a `run` of another schema is left to the reader."""
    kind = convert(record, Head).kind
    if kind in KINDS and not (kind == "run" and record.get("schema") != SCHEMA):
        convert(record, KINDS[kind])


def identity(directory: Path) -> dict[str, Any]:
    """The id of the run and the state of its journal: {"run_id", "journal": {"sha256", "records"}}.

    The id is a hash of the first record (time, command, seed, machine), which a resumed or copied run keeps.
    """
    lines = (directory / NAME).read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    digest = hashlib.sha256(b"".join(whole)).hexdigest()
    return {
        "run_id": hashlib.sha256(whole[0]).hexdigest()[:16],
        "journal": {"sha256": digest, "records": len(whole)},
    }


def now() -> str:
    """The current time as the journal writes it: UTC, ISO 8601, in seconds."""
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
