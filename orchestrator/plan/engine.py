"""An engine and its variants, as its engine.yaml describes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from orchestrator.base.errors import UserError, unknown

Precision = Literal["float32", "bfloat16", "float16", "float8", "int8", "int4"]
State = Literal["supported", "caveat", "planned", "unsupported"]
Kind = Literal["cpu", "cuda", "rocm", "metal"]
PRECISIONS, STATES, DEVICES = get_args(Precision), get_args(State), get_args(Kind)
WRONG = "wrong"  # of a model architecture: it runs, but computes something else than the model
RUNNABLE = ("supported", "caveat")


@dataclass(frozen=True)
class Support:
    """Whether a variant (or a whole device) runs, and what a reader needs to know about it."""

    state: str
    note: str | None = None
    link: str | None = None
    beyond: str | None = None  # the key of config.json that holds the number of tokens up to which it is right

    @property
    def runs(self) -> bool:
        return self.state in RUNNABLE


@dataclass(frozen=True)
class DeviceEntry:
    """How an engine runs on one kind of device."""

    support: Support
    base: str | None = None
    native: bool = False
    verified: str | bool = True  # when, on what, and where the results are; False: nobody has run it there
    extra_index_url: str | None = None
    version: str | None = None  # the engine's version there, if it differs from Engine.version


@dataclass(frozen=True)
class Variant:
    """One way to run an engine: a precision column plus scheme and settings."""

    name: str
    precision: str
    scheme: str
    settings: dict[str, Any]
    artefact: str | None
    row_multiple: int | None
    default: bool
    devices: dict[str, Support]
    column_multiple: int | None = None  # like row_multiple, for a matrix's number of outputs
    requires: dict[str, int] = field(default_factory=dict)  # keys of config.json and the divisors of their values
    compute_capability: str | None = None  # of NVIDIA GPUs: ">=8.9" or "<10.0"
    gpus: int = 1  # minimum number
    ready: tuple[str, ...] = ()  # schemes of the ready-made checkpoints that it loads

    @property
    def only_ready(self) -> bool:
        """Whether no converter makes its artefact, so that it needs a ready-made checkpoint."""
        return bool(self.ready) and self.artefact is None


@dataclass(frozen=True)
class Engine:
    """One `bench_<name>/` folder."""

    folder: Path
    name: str
    title: str
    version: str
    homepage: str
    licence: str
    test_only: bool
    capabilities: dict[str, bool]
    devices: dict[str, DeviceEntry]
    variants: dict[str, Variant] = field(default_factory=dict)
    by_default: bool = False  # measured without --engines
    reference: bool = False  # every variant is compared with its float32
    architectures: dict[str, Support] = field(default_factory=dict)  # those with a known state; others are tried
    calibrates: str | None = None  # the variant whose settings first_ms and step_ms are true delays
    builds_on: Path | None = None  # the folder whose lock, build script and modules are used; None: its own

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders whose code this engine runs."""
        return (self.folder, self.builds_on) if self.builds_on else (self.folder,)

    @property
    def software(self) -> Path:
        """The folder with requirements/ and build.sh."""
        return self.builds_on or self.folder

    def version_on(self, kind: str) -> str:
        """The engine's version on a device kind."""
        entry = self.devices.get(kind)
        return (entry.version if entry else None) or self.version

    def support(self, variant: Variant, kind: str) -> Support:
        """The support of `variant` on a device kind; what engine.yaml says of the device applies to every variant."""
        entry = self.devices.get(kind)
        if entry is None:
            return Support("unsupported", f"{self.title} has no {kind} entry")
        if not entry.support.runs:
            return entry.support
        own = variant.devices.get(kind, Support("unsupported", f"variant {variant.name} has no {kind} entry"))
        if not own.runs or entry.support.state == "supported":
            return own
        notes = [note for note in (entry.support.note, own.note) if note]
        return Support(entry.support.state, "; ".join(notes), own.link or entry.support.link)

    def unverified(self, besides: str) -> list[str]:
        """The kinds of device, except `besides`, that the folder supports but on which nobody has run it."""
        supported = [kind for kind, entry in self.devices.items() if entry.support.runs and entry.verified is False]
        return [kind for kind in supported if kind != besides]


def ready_schemes(engines: Iterable[Engine]) -> list[str]:
    """The schemes of ready-made checkpoints that some variant loads, sorted."""
    return sorted({scheme for engine in engines for variant in engine.variants.values() for scheme in variant.ready})


def select_engines(requested: str | None, engines: dict[str, Engine]) -> list[Engine]:
    """The engines that "all" or "a,b" names, in that order; for None those `by_default`, the reference first.

    Raises UserError for an unknown engine, and if there is none.
    """
    if not engines:
        raise UserError("no engine's folder (bench_*) lies beside the package: in a checkout, run `pip install -e .`")
    if requested is None:
        defaults = [engine for engine in engines.values() if engine.by_default]
        return sorted(defaults, key=lambda engine: not engine.reference)
    if requested == "all":
        return [engine for engine in engines.values() if not engine.test_only]
    chosen = []
    for name in [name.strip() for name in requested.split(",") if name.strip()]:
        if name not in engines:
            raise unknown("engine", name, ["all", *engines])
        if engines[name] not in chosen:
            chosen.append(engines[name])
    if not chosen:
        raise UserError(f"--engines names no engine; valid: all, {', '.join(engines)}")
    return chosen
