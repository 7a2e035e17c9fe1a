"""The software bill of materials of every image, stored with the results: its packages and their versions.

CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), which vulnerability and licence scanners read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from orchestrator.base.cache import Cache, json_hash
from orchestrator.base.errors import CellError
from orchestrator.base.files import write_atomically, write_json
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
    """Write `directory`/packages/<engine>.cdx.json; the packages of an image are listed once and cached.

    Raises CellError if the packages cannot be listed.
    """
    key = f"{json_hash([prepared.tag, prepared.id], 16)}.json"
    doing = f"listing the packages of {engine.name}"
    packages = Cache(cache / FOLDER, say).get(key, doing, lambda work: _ask(sandbox, engine, prepared, work))
    path = directory / FOLDER / f"{engine.name}.cdx.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(path, document(engine, prepared, json.loads(packages.read_text(encoding="utf-8"))) + "\n")
    except ValueError as error:
        raise CellError("harness_error", str(error)) from error
    return path


def _ask(sandbox: Sandbox, engine: Engine, prepared: Prepared, work: Path) -> Path:
    """List the packages with a task that runs in the folder `work`; returns the file with the list."""
    task = Task(
        engine=engine.name, module="common.tools.packages", job=None, directory=work, out=work / "out",
        model=work / "out", artefact=None, wall_s=WALL_S,
    )  # fmt: skip
    ended = sandbox.run(prepared, task)
    try:
        answer = parse(read_text(work / "out" / "packages.json", LIMIT))
        packages: dict[str, Any] = {
            kind: [_package(entry) for entry in answer[kind]] for kind in ECOSYSTEMS if kind in answer
        }
        packages |= {"python": str(answer["python"]), "distribution": str(answer["distribution"])}
    except (Unreadable, OSError, ValueError, KeyError, TypeError) as error:
        raise CellError("harness_error", f"{error} (exit code {ended.exit_code})") from error
    write_json(work / "packages.json", packages)
    return work / "packages.json"


def _package(listed: dict[str, Any]) -> dict[str, str]:
    return {"name": str(listed["name"])[:200], "version": str(listed["version"])[:200]}


def document(engine: Engine, prepared: Prepared, packages: dict[str, Any]) -> str:
    """A CycloneDX document: the image as the component, its packages with package URLs.

    Raises ValueError for a package name that a URL cannot contain.
    """
    image = Component(
        type=ComponentType.CONTAINER,
        name=prepared.tag,
        version=prepared.id,
        description=packages["distribution"],
        bom_ref="image",
    )
    parts = [Component(type=ComponentType.PLATFORM, name="python", version=packages["python"], bom_ref="python")]
    for kind in ECOSYSTEMS:
        for package in packages.get(kind, []):
            url = _url(kind, package, packages["distribution"])
            parts.append(Component(**package, purl=url, bom_ref=str(url)))
    about = BomMetaData(component=image, properties=[Property(name="engine", value=engine.name)])
    bom = Bom(metadata=about, components=parts)
    bom.register_dependency(image, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _url(kind: str, package: dict[str, str], distribution: str) -> PackageURL:
    """The package URL that scanners match; a system package's includes the distribution."""
    words = distribution.lower().split()
    vendor = "redhat" if words[:2] == ["red", "hat"] else next(iter(words), None)
    return PackageURL(kind, None if kind == "pypi" else vendor, package["name"], package["version"])
