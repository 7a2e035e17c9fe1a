"""The processor's state: governor, turbo, clock, load, steal time, thermal slowdowns."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.machine.host import Host
from orchestrator.machine.monitor.probes import Probe

EVERY_NS = 1_000_000_000  # /proc/stat of a large machine takes a millisecond: too slow for 20 Hz
CLOCKS = 32  # read at most, evenly spread over the processors: a read may wake a core
CPU = "/sys/devices/system/cpu"
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


class CpuProbe(Probe):
    """Once a second: `cpu_mhz` (mean), `load1`, `steal_s` (cumulative, all processors) and `cpu_throttles`.

    `cpu_throttles` sums the packages' counts of thermal slowdowns since boot (thermal_throttle, Intel).
    """

    name = "cpu"

    def __init__(self, host: Host | None = None):
        super().__init__()
        self._host = host or Host()
        self._files: dict[str, list[int]] = {}
        self._due = 0

    def open(self) -> dict:
        """Governor, turbo and the highest clock in MHz; None if the kernel does not report it."""
        host = self._host
        clocks = host.glob(f"{CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq")
        spread = clocks[:: max(1, -(-len(clocks) // CLOCKS))]
        self._open("cpu_mhz", spread, "no cpufreq here (usual in virtual machines)")
        packages: dict[str | Path, Path] = {}
        for path in host.glob(f"{CPU}/cpu[0-9]*/thermal_throttle/package_throttle_count"):
            packages.setdefault(host.read(path.parent.parent / "topology/physical_package_id") or path, path)
        self._open("cpu_throttles", list(packages.values()), "the kernel counts no thermal slowdowns here")
        self._open("load1", [host.path("/proc/loadavg")], "no /proc/loadavg")
        self._open("steal_s", [host.path("/proc/stat")], "no /proc/stat")
        highest = [host.number(path) for path in host.glob(f"{CPU}/cpu[0-9]*/cpufreq/cpuinfo_max_freq")]
        return {
            "governor": host.governor(),
            "turbo": host.turbo(),
            "cpu_max_mhz": max(filter(None, highest), default=0) / 1000 or None,
        }

    def _open(self, series: str, paths: list, reason: str) -> None:
        opened = []
        for path in paths:
            try:
                opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                continue
        if opened:
            self._files[series] = opened
        else:
            self.unavailable[series] = reason

    def sample(self, now_ns: int, pids: set[int] | None) -> dict:
        """The four series; empty within a second of the last sample."""
        if now_ns < self._due:
            return {}
        self._due = now_ns + EVERY_NS
        return {series: self._value(series, files) for series, files in self._files.items()}

    @staticmethod
    def _value(series: str, files: list[int]) -> float | int | None:
        try:
            texts = [os.pread(file, 4096, 0) for file in files]
            if series == "cpu_mhz":
                return round(sum(map(int, texts)) / len(texts) / 1000, 1)
            if series == "cpu_throttles":
                return sum(map(int, texts))
            fields = texts[0].split()
            return float(fields[0]) if series == "load1" else round(int(fields[8]) * _TICK_S, 2)
        except (OSError, ValueError, IndexError):  # a processor may go offline
            return None

    def close(self) -> None:
        """Close the files."""
        while self._files:
            for file in self._files.popitem()[1]:
                os.close(file)
