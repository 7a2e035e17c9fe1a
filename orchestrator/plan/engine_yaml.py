"""engine.yaml: its schema, and reading the engines of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from orchestrator.base.paths import ROOT
from orchestrator.base.reading import YamlFile
from orchestrator.models.ready import schemes
from orchestrator.plan.engine import DeviceEntry, Engine, Kind, Precision, State, Support, Variant

WHOLE = r"(?!\n)$"  # `$` alone matches before a final newline
VERIFIED = rf"^\d{{4}}-\d\d-\d\d, .+, [\w./-]+{WHOLE}"
Verified = (
    Literal[False]
    | Annotated[str, Meta(pattern=VERIFIED, description="false, or text: <date>, <hardware>, <result file>")]
)
FolderName = Annotated[str, Meta(pattern=f"^[a-z0-9_]+{WHOLE}", description="text of the form [a-z0-9_]+")]
Name = Annotated[str, Meta(pattern=f"^[a-z0-9][a-z0-9_.-]*{WHOLE}", description="a name of a-z, 0-9, '_', '-', '.'")]
Capability = Annotated[str, Meta(pattern=rf"^(>=|<)\d+\.\d+{WHOLE}", description="text of the form >=8.9 or <10.0")]
Supported = Literal["supported"]


class SupportEntry(msgspec.Struct, forbid_unknown_fields=True):
    """`supported`, or whether and why not."""

    state: State  # supported, caveat (the note becomes a footnote), planned, or unsupported
    note: str | None = None  # the reason; required unless the state is supported
    link: str | None = None  # where to read more

    def __post_init__(self) -> None:
        if self.state != "supported" and self.note is None:
            raise ValueError(f"note: the reason, since the state is {self.state!r}")

    def support(self) -> Support:
        return Support(self.state, self.note, self.link)


class ArchitectureEntry(msgspec.Struct, forbid_unknown_fields=True):
    """`supported`, or how a family of models goes wrong."""

    state: State | Literal["wrong"]  # as of a device; or wrong: never measured
    note: str | None = None  # the reason; required unless the state is supported
    link: str | None = None  # where to read more
    # Of `wrong`: only where prompt and answer together are longer than this key of config.json says
    beyond: str | None = None

    def __post_init__(self) -> None:
        if self.state != "supported" and self.note is None:
            raise ValueError(f"note: the reason, since the state is {self.state!r}")
        if self.beyond and self.state != "wrong":
            raise ValueError("beyond: no such key where the state is not 'wrong'")

    def support(self) -> Support:
        return Support(self.state, self.note, self.link, self.beyond)


class DeviceSection(SupportEntry, forbid_unknown_fields=True):
    """One kind of device."""

    # The image that the engine's own is built on, pinned by digest; required where the engine runs, but on metal
    base: str | None = None
    native: bool = False  # compiled for this CPU or GPU: its features become part of the image's name
    # When, on what, and where the results are: "2026-11-20, <hardware>, <file>"; false where no author has run it,
    # which is `unverified` in the matrix
    verified: Verified | None = None
    # Another pip index, used if it answers; a wheelhouse stands in for it, unless the lock pins a build that only
    # this index has (torch==2.13.0+rocm7.2)
    extra_index_url: str | None = None
    version: str | None = None  # the engine's version there, where it is not the one above

    def entry(self) -> DeviceEntry:
        """The section as the rest of the suite uses it."""
        verified = True if self.verified is None else self.verified
        return DeviceEntry(self.support(), self.base, self.native, verified, self.extra_index_url, self.version)


class VariantSection(msgspec.Struct, forbid_unknown_fields=True):
    """One way to run the engine; its key is its name in the tables."""

    precision: Precision  # the column
    devices: dict[str, Supported | SupportEntry]  # where it runs, of the devices above
    scheme: str | None = None  # how the weights are held, in the engine's own word; default: the variant's name
    settings: dict[str, Any] = field(default_factory=dict)  # passed to bench.py and convert.py unchanged
    artefact: str | None = None  # name of what convert.py makes; absent: the checkpoint itself is loaded
    row_multiple: int | None = None  # weight rows must be divisible by it, otherwise the cell is `unsupported`
    column_multiple: int | None = None  # the same for the number of rows, which is a matrix's number of outputs
    # The same for any number in the model's config.json: {vocab_size: 8}
    requires: dict[str, int] = field(default_factory=dict)
    compute_capability: Capability | None = None  # of an NVIDIA GPU: ">=8.9" or "<10.0"; any other is `unsupported`
    gpus: int = 1  # the least number of GPUs
    default: bool = False  # measured when no --variants is given
    # One scheme or a list: ready-made checkpoints that it loads as they are. A variant with `ready` and without
    # `artefact` can be measured with those only
    ready: str | list[str] = field(default_factory=list)

    def variant(self, name: str) -> Variant:
        """The section as the rest of the suite uses it."""
        values = {key: getattr(self, key) for key in self.__struct_fields__}
        ready = (self.ready,) if isinstance(self.ready, str) else tuple(self.ready)
        values |= {"name": name, "scheme": self.scheme or name, "ready": ready, "devices": _supports(self.devices)}
        return Variant(**values)


class Capabilities(msgspec.Struct, forbid_unknown_fields=True):
    """What the engine can do."""

    streams: bool  # yields a step as soon as its ids are on the host
    logprobs: bool  # gives log-probabilities
    batch: bool  # false: batch size 1 only
    ragged: bool = False  # prompts of one batch may differ in length (only `check` asks for it)


class EngineFile(msgspec.Struct, forbid_unknown_fields=True):
    """engine.yaml: everything that the suite knows about an engine."""

    # The folder is bench_<name>
    name: FolderName
    title: str  # the name in tables
    version: str  # the engine's version
    homepage: str  # where the engine is at home
    licence: str  # the engine's licence
    capabilities: Capabilities  # what the engine can do
    devices: dict[Kind, DeviceSection]  # what there is for each kind of device
    variants: dict[Name, VariantSection]  # the ways to run it
    test_only: bool = False  # kept out of `--engines all`
    by_default: bool = False  # measured where --engines names none
    reference: bool = False  # one folder only: its float32 is what every variant is compared with
    calibrates: str | None = None  # bench_dummy only: the variant whose delays are read back; leave it out of a copy
    # The same software as bench_<builds_on>: its lock, build script and modules. The Dockerfile repeats its steps
    # down to the install, so that both images share that layer
    builds_on: FolderName | None = None
    # Families of models, as `check --architectures` tried them; one that is not listed is tried
    architectures: dict[str, Supported | ArchitectureEntry] = field(default_factory=dict)


def discover(root: Path = ROOT) -> dict[str, Engine]:
    """All engines by name. Raises UserError with file, line, key and what was expected."""
    return {engine.name: engine for engine in (read(path) for path in sorted(root.glob("bench_*/engine.yaml")))}


def real_engines() -> list[Engine]:
    """The engines that do not serve tests only."""
    return [engine for engine in discover().values() if not engine.test_only]


def read(path: Path) -> Engine:
    """Read and check one engine.yaml. Raises UserError: file, line, key, what was expected."""
    source = YamlFile(path)
    content = source.convert(EngineFile)
    _check(content, source)
    values = {key: getattr(content, key) for key in content.__struct_fields__}
    values |= {
        "folder": path.parent,
        "capabilities": msgspec.structs.asdict(content.capabilities),
        "devices": {kind: section.entry() for kind, section in content.devices.items()},
        "variants": {name: section.variant(name) for name, section in content.variants.items()},
        "builds_on": path.parents[1] / f"bench_{content.builds_on}" if content.builds_on else None,
        "architectures": _supports(content.architectures),
    }
    return Engine(**values)


def _check(content: EngineFile, source: YamlFile) -> None:
    """Check what the types cannot express. Raises UserError."""
    folder = source.path.parent
    if folder.name != f"bench_{content.name}":
        raise source.error(["name"], f"{folder.name.removeprefix('bench_')!r}, as the folder is named")
    for kind, section in content.devices.items():
        if section.state in ("supported", "caveat") and kind != "metal" and section.base is None:
            raise source.error(["devices", kind, "base"], "the image that this engine's own is built on")
    if not content.variants:
        raise source.error(["variants"], "at least one variant")
    for name, variant in content.variants.items():
        for kind in [kind for kind in variant.devices if kind not in content.devices]:
            expected = f"a device listed under devices: {', '.join(content.devices)}"
            raise source.error(["variants", name, "devices", kind], expected)
        for scheme in [variant.ready] if isinstance(variant.ready, str) else variant.ready:
            if not schemes.parse(scheme):
                raise source.error(["variants", name, "ready"], f"{schemes.EXPECTED}, not {scheme!r}")
    if content.calibrates is not None and content.calibrates not in content.variants:
        raise source.error(["calibrates"], f"one of {', '.join(content.variants)}, not {content.calibrates!r}")
    other = folder.with_name(f"bench_{content.builds_on}")
    if content.builds_on is not None and (other == folder or not (other / "engine.yaml").is_file()):
        raise source.error(["builds_on"], "the name of another engine's folder, without bench_")


def _supports(entries: dict[str, Any]) -> dict[str, Support]:
    """Support by device or architecture; an entry may be just `supported`."""
    return {key: Support("supported") if isinstance(entry, str) else entry.support() for key, entry in entries.items()}
