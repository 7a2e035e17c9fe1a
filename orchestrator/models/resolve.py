"""Which model is measured: found or made, checked whole, and given an identity that every key and result carries."""

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

    What is not there yet is generated or fetched into `cache`. Every file is hashed before use (a user's directory:
    every file that changed since it was hashed last). `say` gets progress and notices, one line each.

    Raises UserError, one line, for a name that means nothing (the closest valid one comes first) and for a folder that
    is incomplete, damaged, or must not be loaded; CellError `fetch_failed` if the hub does not give the model.
    """
    cache = Path(cache).resolve()
    here = Path(os.path.expanduser(spec or "?"))  # unlike Path.expanduser, leaves an unknown ~name alone
    if spec == "tiny":
        name, folder, remedy = spec, BUNDLED, f"restore it with `git checkout -- {BUNDLED}`"
    elif spec.startswith("synthetic:"):
        shape = spec.removeprefix("synthetic:")
        known = [*shapes.names(), *shapes.architectures()]
        if shape not in known:
            raise UserError(_unknown("synthetic shape", shape, known))
        name, folder = spec, generate.ensure(shape, cache, say)
        remedy = f"delete {folder}, and it is generated anew"
    elif here.is_dir():
        folder = here.resolve()
        if fetch.SPEC.fullmatch(spec):
            say(f"{spec} is a directory here: it is taken, not the hub's model of that name")
        config = checkpoint.validate(folder)
        files = local.manifest_of(folder, cache, say)
        made_up = (folder / generate.MARK).exists()  # the cache's own folder, given by its path
        return Model(folder.name, folder, manifest.digest(files), files, made_up, config)
    elif here.exists():
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
    """One line: the closest of `choices`, if any is close, then all of them, or with `shapes` all forms of a model."""

    def likeness(choice: str) -> float:
        bare = choice.removeprefix("synthetic:")  # someone who forgot the prefix means the shape
        return max(difflib.SequenceMatcher(None, given.lower(), text).ratio() for text in (choice, bare))

    ordered = sorted(choices, key=likeness, reverse=True)
    hint = f"did you mean {ordered[0]!r}? " if likeness(ordered[0]) >= 0.6 else ""
    valid = (
        f"tiny, synthetic:<shape> ({', '.join(shapes)}), a directory, or ORG/NAME@REV" if shapes else ", ".join(ordered)
    )
    return f"unknown {what} {given!r}: {hint}valid: {valid}"
