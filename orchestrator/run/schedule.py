"""The order of launches: shuffled blocks, less what is measured already or what an outcome makes pointless."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.base.outcomes import OUTCOMES, Outcome
from orchestrator.plan.cells import Cell, order
from orchestrator.plan.request import Request
from orchestrator.run.cell_states import CellEnd, Launch, Launchable


@dataclass(frozen=True)
class Turn:
    """Entry `number` of the schedule: a launch, which may be measured already, or the end of a cell."""

    number: int
    due: Launch | CellEnd
    is_measured: bool = False


class Schedule:
    """The launches of a run, in order. Call `learn` with the outcome of each before requesting the next."""

    def __init__(self, cells: Sequence[Launchable], request: Request, measured: Collection[str]):
        """`measured` are the keys of launches that are not repeated."""
        self._cells = {ready.cell.label: ready for ready in cells}
        self._order = order([ready.cell for ready in cells], request.launches, request.seed)
        self._measured = measured
        self._outcomes: dict[str, Outcome] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Turn]:
        for number, (block, cell) in enumerate(self._order, 1):
            if cell.label in self._outcomes and self._outcomes[cell.label].stops_cell:
                continue
            if smaller := self._out_of_memory(cell):
                self._outcomes[cell.label] = self._outcomes[smaller.label]
                reason = f"skipped after oom: a smaller shape of this variant, {smaller.shape}, ran out of memory"
                yield Turn(number, CellEnd(cell, self._outcomes[cell.label], reason))
                continue
            ready = self._cells[cell.label]
            launch = Launch(ready, block, ready.jobs[block])
            yield Turn(number, launch, launch.key in self._measured)

    def learn(self, cell: Cell, name: str) -> None:
        """Take note of a launch's outcome. One failed launch decides the outcome of its cell."""
        outcome = OUTCOMES[name]
        if outcome is not Outcome.OK or cell.label not in self._outcomes:
            self._outcomes[cell.label] = outcome

    def _out_of_memory(self, cell: Cell) -> Cell | None:
        """A cell of the same variant that ran out of memory with a shape within that of `cell`, which is untried."""
        if cell.label in self._outcomes:
            return None
        for ready in self._cells.values():
            other = ready.cell
            is_alike = (other.engine.name, other.variant.name) == (cell.engine.name, cell.variant.name)
            outcome = self._outcomes.get(other.label)
            if is_alike and outcome and outcome.is_out_of_memory and other.shape.within(cell.shape):
                return other
        return None
