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
from typing import Any

from orchestrator.base import reading
from orchestrator.base.errors import UserError, unknown
from orchestrator.models.formats import gguf
from orchestrator.models.hub import fetch
from orchestrator.models.ready import schemes

SUFFIXES = (".yaml", ".yml")
KEYS = ("model", "ready")
SOURCE_KEYS = ("path", "hub", "file")


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
    content = _mapping(_parsed(file), f"{file}", KEYS)
    model = content.get("model")
    if not isinstance(model, str) or not model.strip():
        raise UserError(f"{file}: model: expected tiny, synthetic:<shape>, a directory, or ORG/NAME@REV")
    if model.startswith("."):
        model = str((file.parent / model).resolve())
    ready = _mapping(content.get("ready") or {}, f"{file}: ready")
    for name in ready:
        if not schemes.parse(str(name)) or name not in known:
            raise _at(f"{file}: ready", unknown("scheme", str(name), sorted(known)))
    return Entry(model, file, {name: _source(source, file, name) for name, source in ready.items()})


def _parsed(file: Path) -> Any:
    try:
        return reading.load(file)
    except FileNotFoundError:
        remedy = "a model's entry is a YAML file, see docs/extend/ready_made.md"
        raise UserError(f"no such file: {file}; {remedy}") from None


def _mapping(value: Any, where: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a mapping of keys to values, see docs/extend/ready_made.md")
    for key in value:
        if keys and key not in keys:
            raise _at(where, unknown("key", str(key), keys))
    return value


def _source(value: Any, file: Path, scheme: str) -> Source:
    where = f"{file}: ready.{scheme}"
    fields = _mapping(value, where, SOURCE_KEYS)
    for key, text in fields.items():
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}.{key}: expected text, not {text!r}")
    if ("path" in fields) == ("hub" in fields):
        raise UserError(f"{where}: expected either path (a file or directory here) or hub (ORG/NAME@REV)")
    return _local(fields, where, file, scheme) if "path" in fields else _on_hub(fields, where, scheme)


def _local(fields: dict[str, str], where: str, file: Path, scheme: str) -> Source:
    if "file" in fields:
        raise UserError(f"{where}.file: belongs to hub; give the file itself as path")
    # Not resolved: in a hub cache NAME.gguf links to a file named after its hash.
    path = Path(os.path.abspath(file.parent / Path(fields["path"]).expanduser()))
    if not path.exists():
        raise UserError(f"{where}.path: {path} is not there; a relative path begins at {file.parent.resolve()}")
    if path.is_file() and not (schemes.parse(scheme).kind == "gguf" and path.suffix == ".gguf"):
        expected = "a *.gguf file or its directory" if schemes.parse(scheme).kind == "gguf" else "a directory"
        raise UserError(f"{where}.path: {path} is a file; expected {expected}")
    _refuse_split(path.name, f"{where}.path")
    return Source(path=path)


def _on_hub(fields: dict[str, str], where: str, scheme: str) -> Source:
    spec = fetch.SPEC.fullmatch(fields["hub"])
    if not spec or not spec["revision"]:
        raise UserError(
            f"{where}.hub: {fields['hub']!r} is not of the form ORG/NAME@REV; name a revision, best a commit: what "
            "others made must stay what it was"
        )
    if schemes.parse(scheme).kind != "gguf":
        if "file" in fields:
            raise UserError(f"{where}.file: only GGUF checkpoints are single files")
        return Source(hub=fields["hub"])
    file = fields.get("file", "")
    if not file.endswith(".gguf") or file.startswith(("/", ".")) or ".." in file.split("/"):
        raise UserError(
            f"{where}.file: expected the name of one *.gguf file of {fields['hub']}, not {file or 'nothing'}"
        )
    _refuse_split(file, f"{where}.file")
    return Source(hub=fields["hub"], file=file)


def _refuse_split(name: str, where: str) -> None:
    if gguf.SPLIT.fullmatch(name):
        raise UserError(
            f"{where}: {name} is one part of a model; the engines are given one file: join the parts with "
            "llama.cpp's `llama-gguf-split --merge`, and give its path"
        )


def _at(where: str, error: UserError) -> UserError:
    return UserError(f"{where}: {error}")
