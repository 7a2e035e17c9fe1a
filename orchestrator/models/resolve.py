"""Resolves --model: locates, fetches or generates the model, checks it, and computes its digest."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import UserError
from orchestrator.models import checkpoint, local, manifest
from orchestrator.models.hub import fetch
from orchestrator.models.model import Model
from orchestrator.models.synthetic import generate, shapes

BUNDLED = Path(__file__).resolve().with_name("tiny")


def resolve(spec: str, cache: Path, *, say: Callable[[str], None] = print) -> Model:
    """The model that `spec` names, in this order: `tiny` (bundled), `synthetic:<shape>`, a directory, `ORG/NAME[@REV]`.

    A missing model is generated or fetched into `cache`. Every file is hashed before use (in a user's directory: every
    file that changed since its last hash). `say` gets progress and notices, one line each.

    Raises UserError, one line, for an unknown name (closest match first) and for a folder that is incomplete, damaged,
    or must not be loaded; CellError `fetch_failed` if the hub does not deliver the model.
    """
    cache = Path(cache).resolve()
    path = Path(os.path.expanduser(spec or "?"))  # unlike Path.expanduser, keeps an unknown ~name
    if spec == "tiny":
        name, folder, remedy = spec, BUNDLED, f"restore it with `git checkout -- {BUNDLED}`"
    elif spec.startswith("synthetic:"):
        shape = spec.removeprefix("synthetic:")
        shape_names = [*shapes.names(), *shapes.architectures()]
        if shape not in shape_names:
            raise UserError(_unknown("synthetic shape", shape, shape_names))
        name, folder = spec, generate.ensure(shape, cache, say)
        remedy = f"delete {folder}, and it is generated anew"
    elif path.is_dir():
        folder = path.resolve()
        if fetch.SPEC.fullmatch(spec):
            say(f"{spec} is a directory here: it is taken, not the hub's model of that name")
        config = checkpoint.validate(folder)
        files = local.manifest_of(folder, cache, say)
        is_synthetic = (folder / generate.MARK).exists()  # a folder of the cache, named by its path
        return Model(folder.name, folder, manifest.digest(files), files, is_synthetic, config)
    elif path.exists():
        raise UserError(f"{spec} is a file: a model is a directory with config.json and *.safetensors")
    elif fetch.SPEC.fullmatch(spec):
        name, folder = fetch.fetch(spec, cache, say)
        remedy = f"delete {folder}, and it is fetched anew"
    elif spec.startswith((".", "/", "~")):
        raise UserError(f"no such directory: {spec}; a model is a directory with config.json and *.safetensors")
    else:
        choices = ["tiny", *(f"synthetic:{shape}" for shape in shapes.names())]
        raise UserError(_unknown("model", spec, choices, shapes.names()))

    files = manifest.verify(folder, checkpoint.weight_files(folder), remedy, say)
    config = checkpoint.validate(folder)
    return Model(name, folder, manifest.digest(files), files, spec.startswith("synthetic:"), config)


def _unknown(what: str, given: str, choices: list[str], shapes: list[str] | None = None) -> str:
    """One line: the closest of `choices`, if any, then all of them; with `shapes`, every form of a model name."""

    def likeness(choice: str) -> float:
        bare = choice.removeprefix("synthetic:")  # matches a shape given without its prefix
        return max(difflib.SequenceMatcher(None, given.lower(), text).ratio() for text in (choice, bare))

    ordered = sorted(choices, key=likeness, reverse=True)
    hint = f"did you mean {ordered[0]!r}? " if likeness(ordered[0]) >= 0.6 else ""
    valid = (
        f"tiny, synthetic:<shape> ({', '.join(shapes)}), a directory, or ORG/NAME@REV" if shapes else ", ".join(ordered)
    )
    return f"unknown {what} {given!r}: {hint}valid: {valid}"
