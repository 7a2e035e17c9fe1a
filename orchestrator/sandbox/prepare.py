"""Images (or virtual environments) of several engines, as many at a time as there are cores."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Sequence
from typing import Any

from orchestrator.base.errors import CellError
from orchestrator.plan.engine import Engine
from orchestrator.sandbox.task import Prepared, Sandbox

WORKERS = max(2, os.cpu_count() or 1)  # while one compiles, another downloads and unpacks


def prepare_all(sandbox: Sandbox, engines: Sequence[tuple[Engine, str]]) -> dict[str, Prepared | CellError]:
    """What `sandbox.prepare` gives for (engine, device kind), by engine name, or the CellError with which it failed.

    Raises what else it raises. The threads are daemons: Ctrl-C ends the wait at once, and Docker gives up a build whose
    client is gone.
    """
    waiting: queue.SimpleQueue[list[tuple[Engine, str]]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
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
                    ended.put((engine.name, sandbox.prepare(engine, kind)))
                except BaseException as error:  # handed to the main thread, whatever it is
                    ended.put((engine.name, error))

    for _ in range(min(WORKERS, len(engines))):
        threading.Thread(target=work, name="prepare", daemon=True).start()
    found: dict[str, Prepared | CellError] = {}
    while len(found) < len(engines):
        name, outcome = ended.get()
        if isinstance(outcome, BaseException) and not isinstance(outcome, CellError):
            raise outcome
        found[name] = outcome
    return found


def _groups(engines: Sequence[tuple[Engine, str]]) -> list[list[tuple[Engine, str]]]:
    """Engines that share software come one after another: built side by side, both would compile it.

    The longest lists of packages come first. An install keeps one core busy and a compile all of them: the largest,
    left for the end, was once alone for five of 25 minutes.
    """
    groups: dict[Any, list[tuple[Engine, str]]] = {}
    for engine, kind in sorted(engines, key=lambda each: each[0].builds_on is not None):
        groups.setdefault(engine.software, []).append((engine, kind))
    return sorted(groups.values(), key=lambda group: -_packages(*group[0]))


def _packages(engine: Engine, kind: str) -> int:
    """Lines of the engine's lock for this kind of device; 0 where it has none."""
    lock = engine.software / "requirements" / f"{kind}.txt"
    return len(lock.read_bytes().splitlines()) if lock.is_file() else 0
