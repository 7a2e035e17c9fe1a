"""The software bill of materials of each image: which packages, in which versions, beside the results made with them.

CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), so that scanners for known vulnerabilities and licences read it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.base.errors import CellError
from orchestrator.base.files import only_one, scratch, write_json
from orchestrator.base.reading import Unreadable, parse, read_text
from orchestrator.plan.engine import Engine
from orchestrator.sandbox.task import Prepared, Sandbox, Task

FOLDER = "packages"
LIMIT = 16 << 20
WALL_S = 120.0
ECOSYSTEMS = ("pypi", "deb", "rpm")


def save(
    sandbox: Sandbox, engine: Engine, prepared: Prepared, directory: Path, cache: Path, say: Callable[[str], None]
) -> Path:  # fmt: skip
    """Write `directory`/packages/<engine>.cdx.json, from the cache where this image was asked before.

    Raises CellError where the packages cannot be listed.
    """
    known = cache / FOLDER / f"{hashlib.sha256(f'{prepared.tag} {prepared.id}'.encode()).hexdigest()[:16]}.json"
    with only_one(known.with_name(f".{known.name}.lock"), f"listing the packages of {engine.name}", say):
        if not known.is_file():
            write_json(known, _ask(sandbox, engine, prepared, known))
    path = directory / FOLDER / f"{engine.name}.cdx.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document(engine, prepared, json.loads(known.read_text(encoding="utf-8"))))
    return path


def _ask(sandbox: Sandbox, engine: Engine, prepared: Prepared, place: Path) -> dict[str, Any]:
    with scratch(place) as work:
        job = {"schema": 1, "engine": engine.name, "model": {}}
        task = Task(
            engine=engine.name, module="common.tools.packages", job=job, directory=work, out=work / "out",
            model=work / "out", artefact=None, wall_s=WALL_S,
        )  # fmt: skip
        ended = sandbox.run(prepared, task)
        try:
            told = parse(read_text(work / "out" / "packages.json", LIMIT))
            return {kind: [_package(each) for each in told[kind]] for kind in ECOSYSTEMS if kind in told} | {
                "python": str(told["python"]), "distribution": str(told["distribution"]),
            }  # fmt: skip
        except (Unreadable, OSError, ValueError, KeyError, TypeError) as error:
            raise CellError("harness_error", f"{error} (exit code {ended.exit_code})") from error


def _package(told: dict[str, Any]) -> dict[str, str]:
    return {"name": str(told["name"])[:200], "version": str(told["version"])[:200]}


def document(engine: Engine, prepared: Prepared, told: dict[str, Any]) -> dict[str, Any]:
    """A CycloneDX document: the image as the component, its packages with package URLs."""
    found = [{"type": "platform", "name": "python", "version": told["python"]}]
    for kind in ECOSYSTEMS:
        found += [
            {"type": "library", **each, "purl": f"pkg:{kind}/{quote(each['name'])}@{quote(each['version'])}"}
            for each in told.get(kind, [])
        ]
    image = {"type": "container", "name": prepared.tag, "version": prepared.id, "description": told["distribution"]}
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
            "metadata": {"component": image, "properties": [{"name": "engine", "value": engine.name}]},
            "components": found}  # fmt: skip
