"""Prepares the images (or virtual environments) of several engines, in as many threads as there are cores."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Sequence
from typing import Any

from orchestrator.base.errors import CellError
from orchestrator.plan.engine import Engine
from orchestrator.sandbox.task import Prepared, Sandbox

WORKERS = max(2, os.cpu_count() or 1)  # at least 2: one compiles while another downloads


def prepare_all(sandbox: Sandbox, engines: Sequence[tuple[Engine, str]]) -> dict[str, Prepared | CellError]:
    """Results of `sandbox.prepare` for (engine, device kind) by engine name; a CellError takes the place of a result.

    Raises any other exception. The threads are daemons: Ctrl-C ends the wait at once, and Docker cancels a build whose
    client is gone.
    """
    waiting: queue.SimpleQueue[list[tuple[Engine, str]]] = queue.SimpleQueue()
    outcomes: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    for group in _groups(engines):
        waiting.put(group)

    def work() -> None:
        while True:
            try:
                group = waiting.get_nowait()
            except queue.Empty:
                return
            for engine, kind in group:
                try:
                    outcomes.put((engine.name, sandbox.prepare(engine, kind)))
                except BaseException as error:  # any exception goes to the main thread
                    outcomes.put((engine.name, error))

    for _ in range(min(WORKERS, len(engines))):
        threading.Thread(target=work, name="prepare", daemon=True).start()
    results: dict[str, Prepared | CellError] = {}
    while len(results) < len(engines):
        name, outcome = outcomes.get()
        if isinstance(outcome, BaseException) and not isinstance(outcome, CellError):
            raise outcome
        results[name] = outcome
    return results


def _groups(engines: Sequence[tuple[Engine, str]]) -> list[list[tuple[Engine, str]]]:
    """Group engines that share software, to build them in sequence: in parallel both would compile it.

    The longest locks come first: an install keeps only one core busy, and the largest, started last, once ran alone for
    five of 25 minutes.
    """
    groups: dict[Any, list[tuple[Engine, str]]] = {}
    for engine, kind in sorted(engines, key=lambda pair: pair[0].builds_on is not None):
        groups.setdefault(engine.software, []).append((engine, kind))
    return sorted(groups.values(), key=lambda group: -_packages(*group[0]))


def _packages(engine: Engine, kind: str) -> int:
    """Lines of the engine's lock for this device kind; 0 without one."""
    lock = engine.software / "requirements" / f"{kind}.txt"
    return len(lock.read_bytes().splitlines()) if lock.is_file() else 0
