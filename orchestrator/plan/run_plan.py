"""The plan of a run: which cells of which model, decided once, before anything is built or written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.contract import ModelFacts
from orchestrator.base.errors import CellError, UserError
from orchestrator.machine.detect import Device
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.model import Model
from orchestrator.models.ready.find import ReadyMade, find_checkpoints
from orchestrator.models.resolve import resolve
from orchestrator.plan import prompts, support
from orchestrator.plan.cells import Cell, Shape, cells_of
from orchestrator.plan.engine import Support
from orchestrator.plan.request import Request

Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """The model that is measured, with the facts that its jobs and gates need."""

    model: Model
    weights: ParameterCounts

    @classmethod
    def of(cls, model: Model) -> Subject:
        return cls(model, ParameterCounts.of(model.path))

    @property
    def facts(self) -> ModelFacts:
        """The section `model` of a job, without paths: the sandbox adds those."""
        model, parameters = self.model, self.weights.parameters
        return ModelFacts(model.name, model.digest, model.synthetic, model.config["vocab_size"], parameters)

    def described(self) -> dict[str, Any]:
        """The journal's record of the model."""
        model = self.model
        return {
            "name": model.name, "digest": model.digest, "synthetic": model.synthetic,
            "vocab_size": model.config["vocab_size"], "parameters": self.weights.parameters,
            "manifest": model.manifest, "config": model.config,
        }  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What one run measures. `resolved` is a CellError if the model could not be fetched.

    `ready_made` holds the checkpoints that replace converted ones, by scheme; None: all artefacts are converted.
    """

    request: Request
    cells: tuple[Cell, ...]
    resolved: Subject | CellError
    ready_made: Mapping[str, ReadyMade | CellError] | None = None

    @property
    def subject(self) -> Subject:
        """The model. Raises the CellError of one that could not be fetched."""
        if isinstance(self.resolved, CellError):
            raise self.resolved
        return self.resolved

    def lacking(self, cell: Cell) -> Support | None:
        """Why a cell cannot be measured on this device with this model, None if it can."""
        return lacking_on(self.request.device, cell, self.subject.model, self.ready_made)

    def checkpoint(self, cell: Cell) -> ReadyMade | None:
        """The ready-made checkpoint that a cell is measured with. Raises the CellError of an unavailable one."""
        scheme = support.ready_scheme(cell.variant, self.ready_made)
        checkpoint = self.ready_made[scheme] if scheme and self.ready_made else None
        if isinstance(checkpoint, CellError):
            raise checkpoint
        return checkpoint


def lacking_on(device: Device, cell: Cell, model: Model, offered: Collection[str] | None = None) -> Support | None:
    """Why a cell cannot be measured on this very device, None if it can; see support.unsupported."""
    return support.unsupported(cell, device.kind, model.config, gpus=device.detail.get("gpus", ()), offered=offered)


def find_subject(model: str, cache: Path, say: Say) -> Subject:
    """The model of this name. Raises what models.resolve does."""
    return Subject.of(resolve(model, cache, say=say))


def make_plan(request: Request, cache: Path, say: Say) -> Plan:
    """Resolve the model, fit the shapes to it, choose the cells, and find their ready-made checkpoints.

    Raises UserError for an invalid model or checkpoint. An unreachable hub is no usage error: the plan keeps its
    CellError, and the run ends every cell with it.
    """
    resolved: Subject | CellError
    shapes = request.shapes
    try:
        resolved = find_subject(request.model, cache, say)
        shapes = fit_shapes(request, resolved.model)
    except CellError as error:
        resolved = error
    if request.precisions == request.profile.precisions != "all":
        say(f"precisions: {request.precisions}; --precisions all measures every column")
    cells = tuple(cells_of(request.contenders, shapes))
    return Plan(request, cells, resolved, _find_ready_made(request, cells, resolved, cache, say))


def fit_shapes(request: Request, model: Model) -> tuple[Shape, ...]:
    """The shapes, with the real length of a --prompt. Raises UserError if they exceed the model's positions."""
    shapes = request.shapes
    if request.prompt is not None:
        length = len(prompts.make(model, 1, 1, shapes[0].prompt_tokens, request.prompt)[0][0])
        shapes = tuple(replace(shape, prompt_tokens=length) for shape in shapes)
    positions = model.config.get("max_position_embeddings")
    for shape in shapes:
        if positions and shape.prompt_tokens + shape.new_tokens > positions:
            raise UserError(
                f"{shape.prompt_tokens} prompt + {shape.new_tokens} new tokens exceed the {positions} positions of "
                f"{model.name}: lower --prompt-tokens or --new-tokens"
            )
    return shapes


def _find_ready_made(
    request: Request, cells: tuple[Cell, ...], resolved: Subject | CellError, cache: Path, say: Say
) -> Mapping[str, ReadyMade | CellError] | None:
    """The checkpoints by scheme, only of cells that can run: nothing is fetched for the others."""
    if request.entry is None:
        return None
    if isinstance(resolved, CellError):
        return {}
    offered, model = request.entry.ready, resolved.model
    runnable = [cell for cell in cells if lacking_on(request.device, cell, model, offered) is None]
    wanted = [support.ready_scheme(cell.variant, offered) for cell in runnable]
    return find_checkpoints(request.entry, filter(None, wanted), model, cache, say)
