"""A user's model folder: verified against its manifest, or its hashes are recorded so that a change is noticed."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.base.files import write_json
from orchestrator.models import checkpoint, manifest

# A file that changes twice within one tick of the file system's clock keeps its mtime: a hash taken this soon after a
# change may be of older content.
RACY_NS = 2_000_000_000


def manifest_of(folder: Path, cache: Path, say: Callable[[str], None]) -> dict[str, str]:
    """`{name: sha256}` of the checkpoint in `folder` (a resolved path).

    Verified against `folder/manifest.json` if it exists: raises UserError naming the file that differs.
    Otherwise computed and compared with the last run: a change is reported through `say` and is no error.
    A file is not read again while its size, mtime and inode match those recorded with its hash.
    """
    if (folder / manifest.NAME).exists():
        remedy = f"restore the original file, or delete {folder / manifest.NAME} if the change is meant"
        return verified(folder, remedy, cache, say)
    entries = _recall(_memory(folder, cache))
    files = hashes(folder, checkpoint.identity_files(folder), cache, say)
    if entries:
        old = {name: entry["sha256"] for name, entry in entries.items()}
        changed = sorted(name for name in files.keys() | old.keys() if files.get(name) != old.get(name))
        if changed:
            say(
                f"{folder} has changed since the last run ({', '.join(changed)}): it counts as another model now, "
                "and nothing measured before is reused"
            )
    return files


def verified(folder: Path, remedy: str, cache: Path, say: Callable[[str], None]) -> dict[str, str]:
    """The manifest of `folder`, with every file checked; hashes are cached as in `hashes`. Raises UserError."""
    return manifest.verify(
        folder, checkpoint.weight_files(folder), remedy, say, lambda names: hashes(folder, names, cache, say)
    )


def hashes(folder: Path, names: Iterable[str], cache: Path, say: Callable[[str], None]) -> dict[str, str]:
    """`{name: sha256}` of the named files, cached: an unchanged file is not read again."""
    names = list(names)
    source = folder / names[0] if len(names) == 1 else folder  # every file of a GGUF folder is a model
    memory, started = _memory(source, cache), time.time_ns()
    files = _hashes(folder, names, _recall(memory), say)
    _remember(memory, folder, files, started)
    return files


def _memory(source: Path, cache: Path) -> Path:
    return cache / "models" / "local" / f"{hashlib.sha256(str(source).encode()).hexdigest()[:16]}.json"


def _hashes(folder: Path, names: Iterable[str], entries: dict, say: Callable[[str], None]) -> dict[str, str]:
    names = list(names)
    unchanged = {}
    for name in names:
        entry = entries.get(name)
        stamp = _stamp(folder / name)
        if entry and [entry["size"], entry["mtime_ns"], entry["inode"]] == stamp and entry["trusted"]:
            unchanged[name] = entry["sha256"]
    return unchanged | manifest.compute(folder, [name for name in names if name not in unchanged], say)


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _remember(memory: Path, folder: Path, files: dict[str, str], started_ns: int) -> None:
    entries = {}
    for name, sha in files.items():
        size, mtime_ns, inode = _stamp(folder / name)
        trusted = mtime_ns < started_ns - RACY_NS
        entries[name] = {"sha256": sha, "size": size, "mtime_ns": mtime_ns, "inode": inode, "trusted": trusted}
    memory.parent.mkdir(parents=True, exist_ok=True)
    write_json(memory, {"path": str(folder), "files": entries})


def _recall(memory: Path) -> dict[str, dict]:
    try:
        return json.loads(memory.read_text())["files"]
    except (OSError, ValueError, KeyError):
        return {}  # missing or unreadable: it only saves time and serves the notice
