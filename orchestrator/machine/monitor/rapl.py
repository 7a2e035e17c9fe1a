"""The processor's own energy counters (RAPL), through the kernel's powercap files."""

from __future__ import annotations

import os
import re

from orchestrator.machine.host import Host
from orchestrator.machine.monitor.probes import Probe, Unavailable

ZONES = "/sys/class/powercap/intel-rapl:*"  # AMD's counters have the same name; intel-rapl-mmio repeats packages
_FOR_ROOT = (
    "the counters are for root only (CVE-2020-8694: they leak what others compute); to allow it until the next boot: "
    "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
)


class RaplProbe(Probe):
    """Joules of all packages and their memory since the first sample, whichever process used them.

    A package includes its cores (subzones "core", "uncore") and "psys" includes the packages: adding those would count
    twice. DRAM is outside the package. Counters wrap at max_energy_range_uj (Documentation/power/powercap).
    """

    name, maker = "rapl", "RAPL"

    def __init__(self, host: Host | None = None):
        super().__init__()
        self._host = host or Host()
        self._zones: list[tuple[int, int]] = []  # (file descriptor, wrap-around in µJ)
        self._last: list[int] = []
        self._total_uj = 0

    def open(self) -> dict:
        """Open the counters. Raises Unavailable if there are none, or this user may not read them."""
        for zone in self._host.glob(ZONES):
            name = self._host.read(zone / "name") or ""
            if not re.match(r"package-\d|dram$", name):
                continue
            try:
                self._zones.append((_open(zone / "energy_uj"), self._host.number(zone / "max_energy_range_uj") or 0))
            except PermissionError:
                raise Unavailable(_FOR_ROOT) from None
        if not self._zones:
            raise Unavailable(self._why_none())
        return {}

    def _why_none(self) -> str:
        if self._host.system != "Linux":
            return f"{self._host.system} has no RAPL files"
        if self._host.virtualised():
            return "this is a virtual machine: the processor's energy counters are not passed through (use bare metal)"
        return "no RAPL counters in /sys/class/powercap (sudo modprobe intel_rapl_msr; not every processor has them)"

    def sample(self, now_ns: int, pids: set[int] | None) -> dict:
        """Joules since the first sample."""
        values = [int(os.pread(counter, 64, 0)) for counter, _ in self._zones]
        for now, last, (_, wrap) in zip(values, self._last, self._zones, strict=False):
            self._total_uj += now - last + (wrap if now < last else 0)
        self._last = values
        return {"energy_j": self._total_uj / 1e6}

    def close(self) -> None:
        """Close the counters."""
        while self._zones:
            os.close(self._zones.pop()[0])


def _open(path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
