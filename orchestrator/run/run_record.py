"""What the journal records of a run: device, engines, model, environment, and how each cell ended."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.base.errors import is_disk_full
from orchestrator.machine import host
from orchestrator.plan.cells import Cell
from orchestrator.plan.request import Request
from orchestrator.plan.run_plan import Plan
from orchestrator.results import journal
from orchestrator.results.journal import Journal
from orchestrator.run.cell_states import CellEnd, Runnable
from orchestrator.run.session import Workbench

State = TypeVar("State", bound=Runnable)


class RunJournal:
    """The journal of one run into one directory, and which of its cells have no outcome there yet."""

    def __init__(self, directory: Path, cells: Sequence[Cell]):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._journal = Journal(directory)
        self._open = {cell.label: cell for cell in cells}

    def append(self, kind: str, **record: Any) -> None:
        """Write one record; see results.journal.Journal.append."""
        self._journal.append(kind, **record)

    def keep(self, results: Iterable[State | CellEnd]) -> list[State]:
        """The states among a phase's `results`; an end is in the journal before the next result is requested."""
        states = []
        for result in results:
            if isinstance(result, CellEnd):
                self.append("cell_end", label=result.cell.label, outcome=result.outcome, reason=result.reason)
                self.settle(result.cell)
            else:
                states.append(result)
        return states

    def settle(self, cell: Cell) -> None:
        """Mark that the cell has an outcome: it ended, or one of its launches did."""
        self._open.pop(cell.label, None)

    def is_open(self, cell: Cell) -> bool:
        return cell.label in self._open

    def measured_keys(self) -> set[str]:
        """The keys of the launches that are ok, in this run or in the one that it resumes."""
        return {
            record["key"]
            for record in journal.read(self.directory)
            if record["kind"] == "launch" and record["outcome"] == "ok"
        }

    def close(self, outcome: str) -> None:
        """End the cells that have no outcome yet, and the run."""
        cell_outcome = "harness_error" if outcome == "finished" else outcome
        with _tolerate_full_disk(outcome):
            self.keep([CellEnd(cell, cell_outcome, "the run ended") for cell in self._open.values()])
            self.append("end", outcome=outcome, time=journal.now())
        self._journal.close()


@dataclass(frozen=True)
class Run:
    """One run: what it measures, with what, and its journal."""

    plan: Plan
    bench: Workbench
    journal: RunJournal


@contextmanager
def _tolerate_full_disk(outcome: str) -> Iterator[None]:
    """Ignore a full disk at the end of a run with the outcome `disk_full`; the journal is valid without that record."""
    try:
        yield
    except OSError as error:
        if outcome != "disk_full" or not is_disk_full(error):
            raise


def described(request: Request, cells: Sequence[Cell], isolation: str) -> dict[str, Any]:
    """The journal's record of a request: what was requested, on which machine, with which command."""
    return {
        "schema": journal.SCHEMA,
        "time": journal.now(),
        "command": sys.argv[1:],
        "model": request.model,
        "artefacts": "ready" if request.entry else "convert",
        "entry": str(request.entry.file) if request.entry else None,
        "device": {"kind": request.device.kind, "name": request.device.name, "ids": request.device.ids,
                   "key": request.device.key, "detail": request.device.detail},
        "isolation": isolation,
        "profile": request.profile.name,
        "is_measurement": request.profile.is_measurement,
        "launches": request.launches,
        "repetitions": request.repetitions,
        "threads": request.threads,
        "prompt": request.prompt,
        "wall_s": request.wall_s,
        "memory_limit": request.memory_limit,
        "with_quality": request.with_quality,
        "seed": request.seed,
        "hostname": platform.node(),
        "host": host.facts(),
        "cells": [
            {
                "label": cell.label, "engine": cell.engine.name, "title": cell.engine.title,
                "declared_version": cell.engine.version_on(request.device.kind), "variant": cell.variant.name,
                "precision": cell.variant.precision, "scheme": cell.variant.scheme,
                "settings": cell.variant.settings, **asdict(cell.shape), **_caveat(cell, request.device.kind),
            }
            for cell in cells
        ],
    }  # fmt: skip


def _caveat(cell: Cell, kind: str) -> dict[str, Any]:
    support, entry = cell.engine.support(cell.variant, kind), cell.engine.devices.get(kind)
    return {
        "caveat": support.note if support.state == "caveat" else None,
        "link": support.link,
        "verified": entry.verified if entry else True,
    }
