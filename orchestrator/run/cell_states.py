"""The state of a cell after each phase of a run: each record extends the one of the phase before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.contract import Job
from orchestrator.models.ready.find import ReadyMade
from orchestrator.plan.cells import Cell
from orchestrator.sandbox.task import Prepared


@dataclass(frozen=True)
class CellEnd:
    """A cell that is not launched any further: it drops out with this outcome, and the others go on."""

    cell: Cell
    outcome: str
    reason: str


@dataclass(frozen=True)
class Runnable:
    """A cell that can run with this model on this device. `checkpoint` replaces a converted artefact."""

    cell: Cell
    checkpoint: ReadyMade | None


@dataclass(frozen=True)
class Built(Runnable):
    """... with the image, or environment, of its engine."""

    image: Prepared


@dataclass(frozen=True)
class Converted(Built):
    """... with the directory that its engine loads; None: the model's own."""

    artefact: Path | None


@dataclass(frozen=True)
class Launchable(Converted):
    """... with all that its launches need; `jobs` and `keys` have one entry per block."""

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
        """The key by which `--resume` recognises a launch that is measured already."""
        return self.ready.keys[self.block]
