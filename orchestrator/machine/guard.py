"""Checks a GPU around each launch: no other process on it before, all memory freed after."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.base.errors import CellError
from orchestrator.base.outcomes import Flag, Outcome
from orchestrator.machine.detect import Device
from orchestrator.machine.monitor.probes import GpuProbe, Unavailable
from orchestrator.machine.monitor.sampling import default_probes

WAIT_S = 60.0  # before a launch, for other processes to end
SETTLE_S = 15.0  # after a launch, for the driver to free its memory
SLACK_MIB = 256.0  # the driver's own use varies by this much
POLL_S = 1.0


class DeviceUnusable(Exception):
    """The device is unusable from now on. `outcome` becomes the outcome of all remaining cells."""

    def __init__(self, outcome: str, reason: str):
        super().__init__(reason)
        self.outcome = outcome


class DeviceGuard:
    """One per run. A no-op for devices whose driver does not list processes."""

    def __init__(
        self,
        device: Device,
        say: Callable[[str], None],
        probe: GpuProbe | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._say, self._clock, self._sleep = say, clock, sleep
        gpu_probes = [default for default in default_probes(device) if isinstance(default, GpuProbe)]
        self._probe = probe or next(iter(gpu_probes), None)
        self._baseline: float | None = None
        try:
            if self._probe:
                self._probe.open()
        except Unavailable as error:  # the monitor records the reason with every launch
            self._say(f"the device is not watched between launches: {error}")
            self._probe = None

    def before(self) -> None:
        """Wait until the device is free, at most WAIT_S. Raises CellError `gpu_contended`."""
        if self._probe is None:
            return
        deadline, is_announced = self._clock() + WAIT_S, False
        while True:
            users, used = self._look()
            if not users:
                self._baseline = used
                return
            if self._clock() >= deadline:
                raise CellError("gpu_contended", f"other processes are on the device: {_named(users)}; stop them")
            if not is_announced:
                self._say(f"  waiting up to {WAIT_S:.0f} s for other processes on the device: {_named(users)}")
                is_announced = True
            self._sleep(POLL_S)

    def after(self) -> None:
        """Wait until the launch's memory is freed, at most SETTLE_S. Raises DeviceUnusable."""
        if self._probe is None:
            return
        deadline = self._clock() + SETTLE_S
        while True:
            users, used = self._look()
            leaked = 0.0 if used is None or self._baseline is None else used - self._baseline
            if not users and leaked <= SLACK_MIB:
                return
            if self._clock() >= deadline:
                who = f"held by {_named(users)}" if users else "held by no process that the driver lists"
                dirty = f"device dirty: {leaked:.0f} MiB were not given back after a launch, {who}"
                raise DeviceUnusable("gpu_contended", f"{dirty}; end them, or reset the device")
            self._sleep(POLL_S)

    def _look(self) -> tuple[set[int], float | None]:
        """(PIDs on the device now, its used memory in MiB)."""
        if self._probe is None:
            return set(), None
        now = time.monotonic_ns()
        try:
            values = self._probe.sample(now, set())
        except Unavailable as error:
            word = Outcome.GPU_LOST if error.flag == Flag.GPU_LOST else Outcome.HARNESS_ERROR
            raise DeviceUnusable(word, f"the device does not answer: {error}") from error
        return {pid for pid, (_, last) in self._probe.users.items() if last == now}, values.get("device_used_mib")

    def close(self) -> None:
        if self._probe is not None:
            self._probe.close()


def _named(pids: set[int]) -> str:
    """ "python (pid 12), Xorg (pid 7)"."""
    names = []
    for pid in sorted(pids):
        try:
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # in another namespace, or gone
            name = "unknown"
        names.append(f"{name} (pid {pid})")
    return ", ".join(names)
