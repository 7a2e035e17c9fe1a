"""A new engine's folder, laid out from orchestrator/plan/template/."""

from __future__ import annotations

import os
import re
from pathlib import Path

from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT

TEMPLATE = Path(__file__).with_name("template")


def lay_out(name: str, root: Path = ROOT) -> Path:
    """Write `root`/bench_<name>, which builds, runs and passes `check` as it is. Returns the folder.

    Raises UserError for a name that is not of a-z, 0-9 and '_', where the folder exists, and where none can be written.
    """
    if not re.fullmatch("[a-z0-9_]+", name):
        raise UserError(f"an engine cannot be named {name!r}: use a-z, 0-9 and '_' only, for example my_engine")
    folder = root / f"bench_{name}"
    if os.path.lexists(folder):
        raise UserError(f"{folder} exists: choose another name, or remove it first")
    title = name.replace("_", " ").strip().title() or name
    try:
        for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            target = folder / source.relative_to(TEMPLATE)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8").replace("TITLE", title).replace("NAME", name)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from error
    return folder
