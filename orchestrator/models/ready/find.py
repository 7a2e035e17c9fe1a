"""Ready-made checkpoints: found or fetched, checked, and laid out as an engine's converter would have left them."""

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
    """One checkpoint. `path` is the directory that a container gets in the place of a converted artefact."""

    scheme: str
    source: str  # "ORG/NAME@<revision as given> [file]", or a path here
    revision: str | None  # the commit on the hub
    digest: str  # sha256 over the sorted manifest
    files: dict[str, str]  # name: sha256
    path: Path

    def described(self) -> dict[str, object]:
        """For the journal."""
        return {
            "scheme": self.scheme, "source": self.source, "revision": self.revision, "digest": self.digest,
            "files": self.files,
        }  # fmt: skip


def find_checkpoints(
    entry: Entry, wanted: Iterable[str], model: Model, cache: Path, say: Say
) -> dict[str, ReadyMade | CellError]:
    """The checkpoints of `entry` by scheme, of the schemes `wanted`. What the hub does not give, or what is another
    model's, is a CellError in its place.

    Raises UserError, one line, for a checkpoint that is incomplete, damaged, unsafe, or not of its scheme.
    """
    found: dict[str, ReadyMade | CellError] = {}
    for scheme in dict.fromkeys(wanted):
        try:
            found[scheme] = _one(scheme, entry.ready[scheme], f"{entry.file}: ready.{scheme}", model, cache, say)
        except CellError as error:
            found[scheme] = error
        except UserError as error:
            raise UserError(f"{entry.file}: ready.{scheme}: {error}") from None
    return found


def _one(scheme: str, source: Source, where: str, model: Model, cache: Path, say: Say) -> ReadyMade:
    is_gguf = schemes.parse(scheme).kind == "gguf"
    revision = None
    if source.hub:
        _, folder = fetch.fetch(source.hub, cache, say, source.file)
        revision = folder.name
        files = local.verified(folder, f"delete {folder}, and it is fetched anew", cache, say)
    else:
        folder, names = _here(source.path, is_gguf)
        files = local.hashes(folder, names, cache, say)
    place = folder / next(iter(files)) if is_gguf else folder
    try:
        broken, other = schemes.mismatch(scheme, place), same_model.difference(place, model)
    except UnreadableArtefact as error:
        raise UserError(f"{error}: fetch or copy it again") from None
    if broken:
        raise UserError(f"{source} is not {scheme}: {broken}; name it as what it is")
    if other:
        raise CellError("unsupported", f"{where}: {source} is no checkpoint of {model.name}: {other}")
    names = {name: GGUF_FILE if is_gguf else name for name in files}
    path = _lay_out(scheme, folder, files, names, cache, say)
    return ReadyMade(scheme, str(source), revision, manifest.digest(files), files, path)


def _here(path: Path, is_gguf: bool) -> tuple[Path, list[str]]:
    """The folder of a checkpoint of the user's, and the names of its files."""
    if not is_gguf:
        checkpoint.validate(path)
        return path, checkpoint.identity_files(path)
    if path.is_file():
        folder, names = path.parent, [path.name]
    else:
        folder, names = path, sorted(each.name for each in path.glob("*.gguf"))
    if len(names) != 1:
        raise UserError(f"{path} holds {len(names)} *.gguf files: name one of them as path")
    checkpoint.refuse_pointer(folder / names[0])
    return folder, names


def _lay_out(scheme: str, folder: Path, files: dict[str, str], names: dict[str, str], cache: Path, say: Say) -> Path:
    """A directory of just these files, under the names that engines expect, called by their digest: launches are keyed
    by it. They are links where the file system and the files' permissions let another user read them, else copies.
    """

    def make(work: Path) -> Path:
        artefact = work / "out" / "artefact"
        artefact.mkdir()
        for name, shown in names.items():
            _link(folder / name, artefact / shown, say)
        manifest.write(artefact, {names[name]: digest for name, digest in files.items()})
        (artefact / manifest.NAME).chmod(0o644)
        for made in (artefact, work / "out"):
            made.chmod(0o755)
        return work / "out"

    key = f"{scheme}-{manifest.digest(files)[:16]}"
    place = Cache(cache / "ready", say).get(key, f"laying out {key}", make)
    local.verified(place / "artefact", f"delete {place}, and it is laid out anew", cache, say)
    return place / "artefact"


def _link(source: Path, target: Path, say: Say) -> None:
    """Never changes the original's permissions: it is the user's."""
    real = source.resolve()
    try:
        if real.stat().st_mode & 0o004:
            os.link(real, target)
            return
    except OSError:  # another file system, or one without links
        pass
    need_disk(target.parent, real.stat().st_size, source.name)
    say(f"copying {source.name} into the cache ({real.stat().st_size / 2**20:.0f} MiB)")
    shutil.copyfile(real, target)
    target.chmod(0o644)
