"""What a cell is after each phase of a run: each record is the one before it and what the phase has added."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.contract import Job
from orchestrator.models.ready.find import ReadyMade
from orchestrator.plan.cells import Cell
from orchestrator.sandbox.task import Prepared


@dataclass(frozen=True)
class CellEnd:
    """A cell that is not launched, or not any more: it drops out with this word, and the others go on."""

    cell: Cell
    outcome: str
    reason: str


@dataclass(frozen=True)
class Runnable:
    """A cell that this device and this model allow. `checkpoint` takes the place of a converted artefact."""

    cell: Cell
    checkpoint: ReadyMade | None


@dataclass(frozen=True)
class Built(Runnable):
    """... with the image, or environment, of its engine."""

    image: Prepared


@dataclass(frozen=True)
class Converted(Built):
    """... with what its engine loads; None: the model's own directory."""

    artefact: Path | None


@dataclass(frozen=True)
class Launchable(Converted):
    """... with all that its launches need; `jobs` and `keys` hold one entry a block."""

    jobs: list[Job]
    keys: list[str]


@dataclass(frozen=True)
class Launch:
    """One launch that is due."""

    ready: Launchable
    block: int
    job: Job

    @property
    def cell(self) -> Cell:
        return self.ready.cell

    @property
    def key(self) -> str:
        """By which `--resume` knows it again."""
        return self.ready.keys[self.block]
