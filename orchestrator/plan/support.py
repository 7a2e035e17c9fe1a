"""Why a cell cannot run, or runs with a caveat."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from orchestrator.base.reading import is_count
from orchestrator.models.dimensions import indivisible
from orchestrator.models.synthetic.shapes import architecture_of, incomplete
from orchestrator.plan.cells import Cell, Shape
from orchestrator.plan.engine import WRONG, Support, Variant
from orchestrator.plan.profiles import UNQUANTISED


def ready_scheme(variant: Variant, offered: Collection[str] | None) -> str | None:
    """The variant's first scheme that is `offered` ready-made, None without one."""
    return next((scheme for scheme in variant.ready if scheme in (offered or ())), None)


def unsupported(
    cell: Cell,
    kind: str,
    config: dict[str, Any],
    *,
    gpus: Sequence[dict[str, Any]] = (),
    offered: Collection[str] | None = None,
) -> Support | None:
    """Why this cell cannot be measured on this kind of device with this model, None if it can.

    `config` is the model's config.json, `gpus` the device's GPUs (`compute_capability` "8.9" or None). `offered` are
    the schemes of the ready-made checkpoints that the model's entry names; None: all artefacts are converted.
    """
    support = cell.engine.support(cell.variant, kind)
    if not support.runs:
        return support
    architecture = cell.engine.architectures.get(architecture_of(config))
    if architecture and not architecture.runs and not _is_right_within(architecture, cell.shape, config):
        return architecture
    if cell.shape.batch_size > 1 and not cell.engine.capabilities["batch"]:
        return Support("unsupported", f"{cell.engine.title} runs batch size 1 only")
    reason = (
        _no_checkpoint(cell.variant, offered)
        or incomplete(config)
        or _misfit(cell.variant, config)
        or _other_gpu(cell.variant, gpus)
    )
    return Support("unsupported", reason) if reason else None


def caveat(cell: Cell, config: dict[str, Any]) -> Support | None:
    """The caveat on this engine with this model's architecture, None without one."""
    architecture = cell.engine.architectures.get(architecture_of(config))
    return architecture if architecture and architecture.state in ("caveat", WRONG) else None


def _is_right_within(architecture: Support, shape: Shape, config: dict[str, Any]) -> bool:
    """Whether a shape is too short for the engine's fault with this architecture, or the model lacks its cause."""
    if architecture.state != WRONG or not architecture.beyond:
        return False
    limit = config.get(architecture.beyond)
    return limit is None or (is_count(limit) and shape.prompt_tokens + shape.new_tokens <= limit)


def _misfit(variant: Variant, config: dict[str, Any]) -> str | None:
    """A sentence on the model's dimension that the variant's scheme cannot take, None without one."""
    for multiple, outputs in ((variant.row_multiple, False), (variant.column_multiple, True)):
        culprit = indivisible(config, multiple, outputs) if multiple else None
        if culprit:
            kind = "numbers of weight rows" if outputs else "weight rows"
            return f"{variant.scheme} needs {kind} divisible by {multiple}: {culprit}"
    for name, multiple in variant.requires.items():
        if config.get(name) and config[name] % multiple:
            return f"{variant.scheme} needs {name} divisible by {multiple}: {name} {config[name]}"
    return None


def _other_gpu(variant: Variant, gpus: Sequence[dict[str, Any]]) -> str | None:
    """A sentence on too few GPUs or a compute capability that the variant excludes; an unknown one is tried."""
    if gpus and len(gpus) < variant.gpus:
        return f"{variant.scheme} takes {variant.gpus} GPUs, and {len(gpus)} was chosen: name them with --gpus 0,1"
    wanted = variant.compute_capability
    if wanted is None:
        return None
    is_minimum = wanted.startswith(">=")
    bound = _version(wanted.lstrip("><="))
    for gpu in gpus:
        actual = gpu.get("compute_capability")
        if actual and (_version(actual) >= bound) is not is_minimum:
            return f"{variant.scheme} needs a GPU of compute capability {wanted}: this one has {actual}"
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _no_checkpoint(variant: Variant, offered: Collection[str] | None) -> str | None:
    """Why a variant lacks its checkpoint. With --artefacts ready none is converted: a table must not mix both."""
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
