"""A model's entry: a YAML file that names the model and ready-made quantised checkpoints of it.

model: ORG/NAME@REV                 # as for --model: tiny, synthetic:<shape>, a directory, ORG/NAME@REV
ready:
  gguf-q4_k_m: {hub: ORG/NAME-GGUF@REV, file: name.Q4_K_M.gguf}
  gptq-int4-g128: {hub: ORG/NAME-GPTQ@REV}
  awq-g128: {path: ../awq}          # relative to this file
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from orchestrator.base.errors import UserError, unknown
from orchestrator.base.reading import YamlFile
from orchestrator.models.formats import gguf
from orchestrator.models.hub import fetch
from orchestrator.models.ready import schemes

SUFFIXES = (".yaml", ".yml")
Text = Annotated[str, Meta(pattern=r"\S", description="text")]
ModelName = Annotated[str, Meta(pattern=r"\S", description="tiny, synthetic:<shape>, a directory, or ORG/NAME@REV")]


class SourceEntry(msgspec.Struct, forbid_unknown_fields=True):
    """Where one ready-made checkpoint is: either path, or hub and, of a GGUF, file."""

    path: Text | None = None  # a file or directory here, relative to the entry's file
    hub: Text | None = None  # ORG/NAME@REV; best a commit: what others made must stay what it was
    file: Text | None = None  # the one *.gguf file of `hub`


class EntryFile(msgspec.Struct, forbid_unknown_fields=True):
    """A model's entry."""

    model: ModelName  # what --model takes: tiny, synthetic:<shape>, a directory, ORG/NAME@REV
    # Ready-made checkpoints of the model, by scheme
    ready: dict[str, SourceEntry] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Location of a ready-made checkpoint: a local `path`, or `hub` (ORG/NAME@REV) and, for GGUF, its `file`."""

    path: Path | None = None
    hub: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.hub, self.file))) or str(self.path)


@dataclass(frozen=True)
class Entry:
    """`model`: the name for --model that the file stands for; `ready`: the checkpoints by scheme."""

    model: str
    file: Path | None = None
    ready: dict[str, Source] = field(default_factory=dict)


def load_entry(spec: str, known: Collection[str]) -> Entry:
    """The entry that --model names: a YAML file, or any other model name, which has no ready-made checkpoints.

    `known`: the schemes that engines support. Raises UserError, one line, for a missing or malformed file, an unknown
    key or scheme (closest match first), or a missing path.
    """
    file = Path(spec).expanduser()
    if file.suffix not in SUFFIXES or file.is_dir():
        return Entry(spec)
    try:
        source = YamlFile(file)
    except FileNotFoundError:
        remedy = "a model's entry is a YAML file, see docs/extend/ready_made.md"
        raise UserError(f"no such file: {file}; {remedy}") from None
    content = source.convert(EntryFile, "docs/extend/ready_made.md")
    model = str((file.parent / content.model).resolve()) if content.model.startswith(".") else content.model
    for name in content.ready:
        if not schemes.parse(name) or name not in known:
            raise UserError(f"{source.line(['ready', name])}: ready: {unknown('scheme', name, sorted(known))}")
    return Entry(model, file, {name: _source(entry, source, name) for name, entry in content.ready.items()})


def _source(entry: SourceEntry, file: YamlFile, scheme: str) -> Source:
    where = f"{file.line(['ready', scheme])}: ready.{scheme}"
    if (entry.path is None) == (entry.hub is None):
        raise UserError(f"{where}: expected either path (a file or directory here) or hub (ORG/NAME@REV)")
    return _local(entry, where, file.path, scheme) if entry.hub is None else _on_hub(entry, where, scheme)


def _local(entry: SourceEntry, where: str, file: Path, scheme: str) -> Source:
    if entry.file is not None:
        raise UserError(f"{where}.file: belongs to hub; give the file itself as path")
    # Not resolved: in a hub cache NAME.gguf links to a file named after its hash.
    path = Path(os.path.abspath(file.parent / Path(entry.path).expanduser()))
    if not path.exists():
        raise UserError(f"{where}.path: {path} is not there; a relative path begins at {file.parent.resolve()}")
    if path.is_file() and not (schemes.parse(scheme).kind == "gguf" and path.suffix == ".gguf"):
        expected = "a *.gguf file or its directory" if schemes.parse(scheme).kind == "gguf" else "a directory"
        raise UserError(f"{where}.path: {path} is a file; expected {expected}")
    _refuse_split(path.name, f"{where}.path")
    return Source(path=path)


def _on_hub(entry: SourceEntry, where: str, scheme: str) -> Source:
    name = fetch.SPEC.fullmatch(entry.hub)
    if not name or not name["revision"]:
        raise UserError(
            f"{where}.hub: {entry.hub!r} is not of the form ORG/NAME@REV; name a revision, best a commit: what "
            "others made must stay what it was"
        )
    if schemes.parse(scheme).kind != "gguf":
        if entry.file is not None:
            raise UserError(f"{where}.file: only GGUF checkpoints are single files")
        return Source(hub=entry.hub)
    file = entry.file or ""
    if not file.endswith(".gguf") or file.startswith(("/", ".")) or ".." in file.split("/"):
        raise UserError(f"{where}.file: expected the name of one *.gguf file of {entry.hub}, not {file or 'nothing'}")
    _refuse_split(file, f"{where}.file")
    return Source(hub=entry.hub, file=file)


def _refuse_split(name: str, where: str) -> None:
    if gguf.SPLIT.fullmatch(name):
        raise UserError(
            f"{where}: {name} is one part of a model; the engines are given one file: join the parts with "
            "llama.cpp's `llama-gguf-split --merge`, and give its path"
        )
