"""Converted checkpoints, cached under a hash of their inputs and their converter."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from common.contract import ConversionJob
from orchestrator.base.cache import Cache
from orchestrator.base.errors import CellError, UserError, disk_full_or
from orchestrator.base.paths import ROOT
from orchestrator.base.progress import duration
from orchestrator.machine import host
from orchestrator.machine.detect import Device
from orchestrator.models import manifest
from orchestrator.models.model import Model
from orchestrator.plan.engine import Engine, Variant
from orchestrator.plan.run_plan import Subject
from orchestrator.run.session import Workbench
from orchestrator.sandbox.task import Prepared, tail

WALL_S = 4 * 3600
SHARED = Path("common", "convert")  # the modules that converters call
LAUNCH_ONLY = ("bench.py", "loaded.py", "own_benchmark.py", "engine.yaml", "README.md")


def hardware(device: Device) -> str:
    """What native code depends on: this CPU's features, and the name of a GPU."""
    features = host.cpu_features_digest()
    return features if device.kind == "cpu" else f"{features} {device.name}"


def key(engine: Engine, kind: str, variant: Variant, model: Model, made_for: str, root: Path = ROOT) -> str:
    """16 hex digits over all that decides the artefact's bytes: model, converter, its software, scheme and settings.

    `made_for` (see `hardware`) counts if engine.yaml says that the engine is compiled for one machine.
    """
    native = made_for if engine.devices[kind].native else None
    inputs = [model.digest, engine.name, variant.artefact, variant.precision, variant.settings, native]
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
    for path in [*_converter(engine.folders, kind), *sorted((root / SHARED).glob("*.py"))]:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def identity(artefact: Path | None) -> dict[str, str] | None:
    """{"name", "digest"} of a verified artefact; None if the engine loads the checkpoint itself."""
    if artefact is None:
        return None
    return {"name": artefact.parent.name, "digest": manifest.digest(manifest.read(artefact))}


def _converter(folders: Sequence[Path], kind: str) -> list[Path]:
    """All files of an engine's folders except those that only a launch, another device or a reader needs."""
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in LAUNCH_ONLY
        and "__pycache__" not in path.parts
        and (path.parent.name != "requirements" or path.stem == kind)
    ]


class Artefacts:
    """Finds or converts what an engine loads. One object per run; an artefact is verified once per run."""

    def __init__(self, bench: Workbench):
        self._bench, self._say = bench, bench.progress.say
        self._ready: dict[Path, Path | CellError] = {}

    def ensure(self, engine: Engine, variant: Variant, subject: Subject, image: Prepared) -> Path | None:
        """The directory to load, None if the engine loads the checkpoint itself.

        Raises CellError `convert_failed` or `unsupported`; a conversion that failed is not repeated within a run.
        """
        if variant.artefact is None:
            return None
        device, cache = self._bench.device, self._bench.workspace.cache
        digest = key(engine, device.kind, variant, subject.model, hardware(device), self._bench.workspace.root)
        place = cache / "artefacts" / f"{engine.name}-{variant.artefact}-{digest}"
        if place not in self._ready:
            try:
                self._ready[place] = self._make(place, engine, variant, subject, image)
            except CellError as error:
                self._ready[place] = error
        artefact = self._ready[place]
        if isinstance(artefact, CellError):
            raise artefact
        return artefact

    def _make(self, place: Path, engine: Engine, variant: Variant, subject: Subject, image: Prepared) -> Path:
        cache = Cache(place.parent, self._say)
        cache.get(
            place.name, f"converting {place.name}", lambda work: self._convert(work, engine, variant, subject, image)
        )
        final = place / "artefact"
        try:
            manifest.verify(final, [], f"delete {place}, and it is converted anew", self._say)
        except UserError as error:
            raise CellError("convert_failed", str(error)) from error
        return final

    def _convert(self, work: Path, engine: Engine, variant: Variant, subject: Subject, image: Prepared) -> Path:
        """Convert in the directory `work`; returns the directory with the artefact and its reproduce.sh."""
        self._say(f"{engine.name}: converting {subject.model.name} to {variant.artefact}")
        started = time.monotonic()
        job = ConversionJob(
            engine=engine.name, variant=variant.name, precision=variant.precision, scheme=variant.scheme,
            settings=variant.settings, artefact=variant.artefact or "", threads=self._bench.threads,
            model=subject.facts,
        )  # fmt: skip
        task = self._bench.task(engine, "convert", job, work, model=subject.model.path, wall_s=WALL_S)
        ended = self._bench.sandbox.run(image, task)
        error = work / "out" / "error.json"
        if error.is_file():
            report = json.loads(error.read_text(encoding="utf-8"))
            reason = str(report.get("reason"))
            failure = disk_full_or("convert_failed", reason)
            raise CellError("unsupported" if report.get("outcome") == "unsupported" else failure, reason)
        if ended.exit_code != 0 or not (work / "out" / "artefact").is_dir():
            how = "hit its time limit" if ended.timed_out else f"ended with exit code {ended.exit_code}"
            how += ", out of memory" if ended.oom_killed else ""
            log = tail(work / "stderr.log")
            raise CellError(disk_full_or("convert_failed", log), f"the conversion {how}\n{log}")
        converted = work / "converted"
        converted.mkdir()
        (work / "out" / "artefact").rename(converted / "artefact")
        shutil.copy(work / "reproduce.sh", converted / "reproduce.sh")
        self._say(f"  {engine.name}: {variant.artefact} converted in {duration(time.monotonic() - started)}")
        return converted
