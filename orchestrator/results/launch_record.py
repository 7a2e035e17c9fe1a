"""The files of one launch, each read once, for the row and for the timeline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from common.contract import Failure, Job, Loaded, Result, Sample
from orchestrator.base.outcomes import Flag
from orchestrator.judge import analysis
from orchestrator.judge.launch_files import read_job, read_result, read_samples
from orchestrator.judge.speed import launch_metrics

MACHINE = "machine.json"
MOVED = 0.20  # relative change of the bandwidth between the probes before and after a launch
SLOW_FIRST = 1.10  # times the median of the other iterations of a launch


@dataclass(frozen=True)
class LaunchRecord:
    """One launch. Each file is read at first use; OSError or ValueError is raised for a missing or damaged one.

    A failed launch may lack any file, one measured by an earlier version of the suite its `analysis`.
    """

    directory: Path

    @cached_property
    def result(self) -> Result:
        """What the engine reported at its end."""
        result = read_result(self.directory)
        if isinstance(result, Failure):
            raise ValueError(f"{self.directory / 'out' / 'result.json'} says {result.outcome}, the journal ok")
        return result

    @cached_property
    def job(self) -> Job:
        """What the engine was asked to do."""
        return read_job(self.directory)

    @cached_property
    def samples(self) -> list[Sample]:
        """Its iterations, in order."""
        return read_samples(self.directory)

    @cached_property
    def analysis(self) -> dict[str, Any]:
        """What the host computed when the launch ended; empty without the file."""
        path = self.directory / analysis.FILE
        return _json(path) if path.is_file() else {}

    @cached_property
    def machine(self) -> dict[str, Any]:
        """The monitor's record of the launch; empty without the file."""
        path = self.directory / MACHINE
        return _json(path) if path.is_file() else {}

    @cached_property
    def speed(self) -> dict[str, Any]:
        """The speeds of every measured iteration, and its steps: see `launch_metrics`."""
        return launch_metrics(self.samples, self.job, self.result.streams)

    @property
    def loaded(self) -> Loaded:
        """What the engine reported to have loaded."""
        return self.result.loaded

    @property
    def bandwidth_gbs(self) -> float | None:
        """The better of the probes before and after."""
        return max(self._probes, default=None)

    @property
    def flags(self) -> set[str]:
        """What casts doubt on this launch's figures."""
        flags: set[str] = {*self.speed["flags"], *self.analysis.get("flags", [])}
        if not self.result.warmup.steady:
            flags.add(Flag.NOT_STEADY)
        if not self.result.streams:
            flags.add(Flag.NOT_STREAMED)
        speeds = self.speed["e2e_tps"]
        if len(speeds) > 2 and median(speeds[1:]) > SLOW_FIRST * speeds[0]:
            flags.add(Flag.SLOW_FIRST)
        if self._probes and 1 - min(self._probes) / max(self._probes) > MOVED:
            flags.add(Flag.BANDWIDTH_MOVED)
        if self.analysis.get("cache_resident"):
            flags.add(Flag.CACHE_RESIDENT)
        return flags

    @property
    def _probes(self) -> list[float]:
        return [value for value in self.analysis.get("bandwidth_gbs", {}).values() if value]


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no object")
    return content
