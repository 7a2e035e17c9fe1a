"""A model's entry: a YAML file that names the model, and quantised checkpoints of it that are ready-made.

model: ORG/NAME@REV                 # what --model takes: tiny, synthetic:<shape>, a directory, ORG/NAME@REV
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
    """Where one ready-made checkpoint is: `path` here, or `hub` (ORG/NAME@REV), of which `file` is the one GGUF."""

    path: Path | None = None
    hub: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.hub, self.file))) or str(self.path)


@dataclass(frozen=True)
class Entry:
    """`model` is what --model would have been without the file; `ready` has the checkpoints by scheme."""

    model: str
    file: Path | None = None
    ready: dict[str, Source] = field(default_factory=dict)


def load_entry(spec: str, known: Collection[str]) -> Entry:
    """The entry that --model names: a YAML file, or any other name of a model, which has no checkpoints.

    `known` are the schemes that some engine takes. Raises UserError, one line, for a file that is not there or not of
    this form, a key or scheme that nobody knows (the closest comes first), a path that is not there.
    """
    file = Path(spec).expanduser()
    if file.suffix not in SUFFIXES or file.is_dir():
        return Entry(spec)
    top = _mapping(_parsed(file), f"{file}", KEYS)
    model = top.get("model")
    if not isinstance(model, str) or not model.strip():
        raise UserError(f"{file}: model: expected tiny, synthetic:<shape>, a directory, or ORG/NAME@REV")
    if model.startswith("."):
        model = str((file.parent / model).resolve())
    ready = _mapping(top.get("ready") or {}, f"{file}: ready")
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
    found = _mapping(value, where, SOURCE_KEYS)
    for key, text in found.items():
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}.{key}: expected text, not {text!r}")
    if ("path" in found) == ("hub" in found):
        raise UserError(f"{where}: expected either path (a file or directory here) or hub (ORG/NAME@REV)")
    return _local(found, where, file, scheme) if "path" in found else _on_hub(found, where, scheme)


def _local(found: dict[str, str], where: str, file: Path, scheme: str) -> Source:
    if "file" in found:
        raise UserError(f"{where}.file: belongs to hub; give the file itself as path")
    # Not resolved: in a hub's cache NAME.gguf is a link to a file whose name says nothing.
    path = Path(os.path.abspath(file.parent / Path(found["path"]).expanduser()))
    if not path.exists():
        raise UserError(f"{where}.path: {path} is not there; a relative path begins at {file.parent.resolve()}")
    if path.is_file() and not (schemes.parse(scheme).kind == "gguf" and path.suffix == ".gguf"):
        expected = "a *.gguf file or its directory" if schemes.parse(scheme).kind == "gguf" else "a directory"
        raise UserError(f"{where}.path: {path} is a file; expected {expected}")
    _whole(path.name, f"{where}.path")
    return Source(path=path)


def _on_hub(found: dict[str, str], where: str, scheme: str) -> Source:
    name = fetch.SPEC.fullmatch(found["hub"])
    if not name or not name["revision"]:
        raise UserError(
            f"{where}.hub: {found['hub']!r} is not of the form ORG/NAME@REV; name a revision, best a commit: what "
            "others made must stay what it was"
        )
    if schemes.parse(scheme).kind != "gguf":
        if "file" in found:
            raise UserError(f"{where}.file: only GGUF checkpoints are single files")
        return Source(hub=found["hub"])
    file = found.get("file", "")
    if not file.endswith(".gguf") or file.startswith(("/", ".")) or ".." in file.split("/"):
        raise UserError(
            f"{where}.file: expected the name of one *.gguf file of {found['hub']}, not {file or 'nothing'}"
        )
    _whole(file, f"{where}.file")
    return Source(hub=found["hub"], file=file)


def _whole(name: str, where: str) -> None:
    if gguf.SPLIT.fullmatch(name):
        raise UserError(
            f"{where}: {name} is one part of a model; the engines are given one file: join the parts with "
            "llama.cpp's `llama-gguf-split --merge`, and give its path"
        )


def _at(where: str, error: UserError) -> UserError:
    return UserError(f"{where}: {error}")
