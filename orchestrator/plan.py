"""What will be measured, and in which order."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass

from orchestrator.engines import PRECISIONS, WRONG, Engine, Support, Variant
from orchestrator.errors import UserError
from orchestrator.models.shapes import architecture_of, incomplete
from orchestrator.suggest import unknown
from orchestrator.untrusted import is_count
from orchestrator.weights import indivisible


@dataclass(frozen=True)
class Profile:
    """How much is measured: launches per cell x measured iterations per launch, and which columns unless asked."""

    name: str
    launches: int
    repetitions: int
    is_measurement: bool
    precisions: str = "all"


PROFILES = {
    "quick": Profile("quick", 1, 3, False, "float32,int8"),  # a newcomer waits for it
    "standard": Profile("standard", 5, 5, True),
    "publish": Profile("publish", 10, 5, True),
}
UNQUANTISED = ("float32", "bfloat16", "float16")
WARMUP = {"min": 3, "max": 10, "span": 0.05, "max_s": 20}


@dataclass(frozen=True)
class Shape:
    """One workload's size."""

    batch_size: int
    prompt_tokens: int
    new_tokens: int

    def within(self, other: Shape) -> bool:
        """True where `other` is as large in every respect: what does not fit for this one does not fit for that one."""
        return all(mine <= theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True))

    def __str__(self) -> str:
        return f"batch {self.batch_size}, {self.prompt_tokens} + {self.new_tokens} tokens"


@dataclass(frozen=True)
class Cell:
    """One row of the tables: engine x variant x shape."""

    engine: Engine
    variant: Variant
    shape: Shape

    @property
    def label(self) -> str:
        """For file names and progress: "pytorch-float32-b1-p128-n128"."""
        size = f"b{self.shape.batch_size}-p{self.shape.prompt_tokens}-n{self.shape.new_tokens}"
        return f"{self.engine.name}-{self.variant.name}-{size}"


def variants(
    engine: Engine, precisions: str | None, names: str | None, offered: Collection[str] = ()
) -> list[Variant]:  # fmt: skip
    """The engine's variants that the request names.

    `precisions` ("all" or a list) picks columns, `names` ("default", "all" or a list) picks in them: without `names`
    the default variants, and those that take a ready-made checkpoint of the schemes `offered`. An engine without a
    variant of a name given simply has none.
    """
    columns = split("all" if precisions is None else precisions)
    wanted = split("default" if names is None else names)
    return [
        variant
        for variant in engine.variants.values()
        if ("all" in columns or variant.precision in columns)
        and (
            "all" in wanted
            or variant.name in wanted
            or ("default" in wanted and (variant.default or any(scheme in offered for scheme in variant.ready)))
        )
    ]


def check_names(engines: Sequence[Engine], precisions: str | None, names: str | None) -> None:
    """Raise UserError for a precision or variant that nobody has."""
    if precisions is not None:
        for precision in split(precisions):
            if precision != "all" and precision not in PRECISIONS:
                raise unknown("precision", precision, ["all", *PRECISIONS])
    if names is not None:
        known = sorted({name for engine in engines for name in engine.variants})
        for name in split(names):
            if name not in ("all", "default") and name not in known:
                raise unknown("variant", name, ["all", "default", *known])


def cells(
    engines: Sequence[Engine], precisions: str | None, names: str | None, shapes: Sequence[Shape],
    offered: Collection[str] = (),
) -> list[Cell]:  # fmt: skip
    """All cells of a request. Raises UserError for unknown names, and when nothing is left."""
    check_names(engines, precisions, names)
    found = [
        Cell(engine, variant, shape)
        for engine in engines
        for variant in variants(engine, precisions, names, offered)
        for shape in shapes
    ]
    if not found:
        raise UserError(
            f"no variant of {', '.join(engine.name for engine in engines)} matches "
            f"--precisions {precisions or 'all'} --variants {names or 'default'}; "
            "`./benchmark.sh list` shows what there is"
        )
    return found


def ready_scheme(variant: Variant, offered: Collection[str] | None) -> str | None:
    """The first scheme of the variant's that is `offered` ready-made, None where there is none."""
    return next((scheme for scheme in variant.ready if scheme in (offered or ())), None)


def unsupported(
    cell: Cell, kind: str, config: dict, *, gpus: Sequence[dict] = (), offered: Collection[str] | None = None
) -> Support | None:
    """Why this cell cannot be measured on this kind of device with this model, None if it can.

    `config` is the model's config.json, `gpus` the device's GPUs (`compute_capability` "8.9" or None). `offered` are
    the schemes of which the model's entry names a ready-made checkpoint; None: all is to be converted.
    """
    support = cell.engine.support(cell.variant, kind)
    if not support.runs:
        return support
    architecture = cell.engine.architectures.get(architecture_of(config))
    if architecture and not architecture.runs and not _right_so_far(architecture, cell.shape, config):
        return architecture
    if cell.shape.batch_size > 1 and not cell.engine.capabilities["batch"]:
        return Support("unsupported", f"{cell.engine.title} runs batch size 1 only")
    why = (
        _no_checkpoint(cell.variant, offered)
        or incomplete(config)
        or _misfit(cell.variant, config)
        or _other_gpu(cell.variant, gpus)
    )
    return Support("unsupported", why) if why else None


def caveat(cell: Cell, config: dict) -> Support | None:
    """What a reader has to know of this engine with this model's architecture; None where there is nothing."""
    found = cell.engine.architectures.get(architecture_of(config))
    return found if found and found.state in ("caveat", WRONG) else None


def _right_so_far(architecture: Support, shape: Shape, config: dict) -> bool:
    """Is what the engine gets wrong with this architecture out of this shape's reach, or not in this model at all?"""
    if architecture.state != WRONG or not architecture.beyond:
        return False
    limit = config.get(architecture.beyond)
    return limit is None or (is_count(limit) and shape.prompt_tokens + shape.new_tokens <= limit)


def _misfit(variant: Variant, config: dict) -> str | None:
    """The dimension of the model that the variant's scheme cannot take, in a sentence."""
    for multiple, outputs in ((variant.row_multiple, False), (variant.column_multiple, True)):
        culprit = indivisible(config, multiple, outputs) if multiple else None
        if culprit:
            what = "numbers of weight rows" if outputs else "weight rows"
            return f"{variant.scheme} needs {what} divisible by {multiple}: {culprit}"
    for name, multiple in variant.requires.items():
        if config.get(name) and config[name] % multiple:
            return f"{variant.scheme} needs {name} divisible by {multiple}: {name} {config[name]}"
    return None


def _other_gpu(variant: Variant, gpus: Sequence[dict]) -> str | None:
    """The GPU whose compute capability the variant excludes, in a sentence; one that is not known is tried."""
    if gpus and len(gpus) < variant.gpus:
        return f"{variant.scheme} takes {variant.gpus} GPUs, and {len(gpus)} was chosen: name them with --gpus 0,1"
    wanted = variant.compute_capability
    if wanted is None:
        return None
    least = wanted.startswith(">=")
    bound = _version(wanted.lstrip("><="))
    for gpu in gpus:
        has = gpu.get("compute_capability")
        if has and (_version(has) >= bound) is not least:
            return f"{variant.scheme} needs a GPU of compute capability {wanted}: this one has {has}"
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _no_checkpoint(variant: Variant, offered: Collection[str] | None) -> str | None:
    """Asked for ready-made checkpoints, a quantised variant is not converted instead: the table would mix both."""
    if ready_scheme(variant, offered):
        return None
    keys = " or ".join(variant.ready)
    if variant.only_ready:
        how = "" if offered is not None else " and run with --artefacts ready"
        return f"nothing here converts a model for it: name a checkpoint of it as {keys} in the model's entry{how}"
    if offered is None or variant.artefact is None or variant.precision in UNQUANTISED:
        return None
    if not variant.ready:
        return "--artefacts ready: it has no ready-made form; leave the option out to have it converted"
    return f"--artefacts ready: the model's entry names no checkpoint under ready: {keys}"


def order(planned: Sequence[Cell], launches: int, seed: int) -> list[tuple[int, Cell]]:
    """(block, cell) in launch order: every cell once per block, each block shuffled from the recorded seed.

    Drift of the machine then hits every contender alike; running one engine after another favours whoever is first.
    """
    sequence = []
    for block in range(launches):
        shuffled = list(planned)
        random.Random(f"{seed}/{block}").shuffle(shuffled)
        sequence += [(block, cell) for cell in shuffled]
    return sequence


def split(text: str) -> list[str]:
    """ "a, b" -> ["a", "b"]."""
    return [part.strip() for part in text.split(",") if part.strip()]
