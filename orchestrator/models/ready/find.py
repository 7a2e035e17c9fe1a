"""Ready-made checkpoints: located or fetched, checked, and laid out like the output of an engine's converter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.cache import Cache
from orchestrator.base.errors import CellError, UserError
from orchestrator.base.files import need_disk
from orchestrator.models import checkpoint, local, manifest
from orchestrator.models.formats.binary import UnreadableArtefact
from orchestrator.models.hub import fetch
from orchestrator.models.model import Model
from orchestrator.models.ready import same_model, schemes
from orchestrator.models.ready.entry import Entry, Source

GGUF_FILE = "model.gguf"  # the name under which engines look for a GGUF file
Say = Callable[[str], None]


@dataclass(frozen=True)
class ReadyMade:
    """One checkpoint. `path` is the directory that a container gets instead of a converted artefact."""

    scheme: str
    source: str  # "ORG/NAME@<revision as given> [file]", or a local path
    revision: str | None  # the commit on the hub
    digest: str  # sha256 over the sorted manifest
    files: dict[str, str]  # name: sha256
    path: Path

    def described(self) -> dict[str, object]:
        """For the journal."""
        return {
            "scheme": self.scheme,
            "source": self.source,
            "revision": self.revision,
            "digest": self.digest,
            "files": self.files,
        }


def find_checkpoints(
    entry: Entry, wanted: Iterable[str], model: Model, cache: Path, say: Say
) -> dict[str, ReadyMade | CellError]:
    """The checkpoints of `entry` by scheme, for the schemes in `wanted`. One that the hub does not deliver, or that
    belongs to another model, is replaced by a CellError.

    Raises UserError, one line, for a checkpoint that is incomplete, damaged, unsafe, or not of its scheme.
    """
    checkpoints: dict[str, ReadyMade | CellError] = {}
    for scheme in dict.fromkeys(wanted):
        where = f"{entry.file}: ready.{scheme}"
        try:
            checkpoints[scheme] = _checkpoint(scheme, entry.ready[scheme], where, model, cache, say)
        except CellError as error:
            checkpoints[scheme] = error
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    return checkpoints


def _checkpoint(scheme: str, source: Source, where: str, model: Model, cache: Path, say: Say) -> ReadyMade:
    is_gguf = schemes.parse(scheme).kind == "gguf"
    revision = None
    if source.hub:
        _, folder = fetch.fetch(source.hub, cache, say, source.file)
        revision = folder.name
        files = local.verified(folder, f"delete {folder}, and it is fetched anew", cache, say)
    else:
        folder, names = _local_files(source.path, is_gguf)
        files = local.hashes(folder, names, cache, say)
    target = folder / next(iter(files)) if is_gguf else folder
    try:
        broken, other = schemes.mismatch(scheme, target), same_model.difference(target, model)
    except UnreadableArtefact as error:
        raise UserError(f"{error}: fetch or copy it again") from None
    if broken:
        raise UserError(f"{source} is not {scheme}: {broken}; name it as what it is")
    if other:
        raise CellError("unsupported", f"{where}: {source} is no checkpoint of {model.name}: {other}")
    names = {name: GGUF_FILE if is_gguf else name for name in files}
    path = _lay_out(scheme, folder, files, names, cache, say)
    return ReadyMade(scheme, str(source), revision, manifest.digest(files), files, path)


def _local_files(path: Path, is_gguf: bool) -> tuple[Path, list[str]]:
    """The folder of a local checkpoint, and the names of its files."""
    if not is_gguf:
        checkpoint.validate(path)
        return path, checkpoint.identity_files(path)
    if path.is_file():
        folder, names = path.parent, [path.name]
    else:
        folder, names = path, sorted(file.name for file in path.glob("*.gguf"))
    if len(names) != 1:
        raise UserError(f"{path} holds {len(names)} *.gguf files: name one of them as path")
    checkpoint.refuse_pointer(folder / names[0])
    return folder, names


def _lay_out(scheme: str, folder: Path, files: dict[str, str], names: dict[str, str], cache: Path, say: Say) -> Path:
    """A directory of these files under the names that engines expect. It is named after their digest, which is part of
    every launch's key. Files are hard links if the file system allows it and other users may read them, else copies.
    """

    def make(work: Path) -> Path:
        artefact = work / "out" / "artefact"
        artefact.mkdir()
        for name, shown in names.items():
            _link(folder / name, artefact / shown, say)
        manifest.write(artefact, {names[name]: digest for name, digest in files.items()})
        (artefact / manifest.NAME).chmod(0o644)
        for directory in (artefact, work / "out"):
            directory.chmod(0o755)
        return work / "out"

    key = f"{scheme}-{manifest.digest(files)[:16]}"
    place = Cache(cache / "ready", say).get(key, f"laying out {key}", make)
    local.verified(place / "artefact", f"delete {place}, and it is laid out anew", cache, say)
    return place / "artefact"


def _link(source: Path, target: Path, say: Say) -> None:
    """Hard-link or copy; the user's original keeps its permissions."""
    real = source.resolve()
    try:
        if real.stat().st_mode & 0o004:
            os.link(real, target)
            return
    except OSError:  # another file system, or no hard links
        pass
    need_disk(target.parent, real.stat().st_size, source.name)
    say(f"copying {source.name} into the cache ({real.stat().st_size / 2**20:.0f} MiB)")
    shutil.copyfile(real, target)
    target.chmod(0o644)
