"""The base classes of the monitor's probes."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

from orchestrator.base.outcomes import Flag

_COMBINED_BY: dict[str, Callable[[list], float]] = {
    **dict.fromkeys(("energy_j", "power_w", "device_used_mib", "power_limit_w"), sum),
    **dict.fromkeys(("sm_clock_mhz", "memory_clock_mhz", "persistence", "ecc"), min),
    **dict.fromkeys(("temperature_c", "mig"), max),
    "utilization": lambda values: sum(values) / len(values),
    "throttle": lambda values: reduce(or_, values),
}


class Unavailable(Exception):
    """A probe cannot continue. The message is the reason; `flag` goes into the record's flags."""

    def __init__(self, reason: str, flag: Flag | None = None):
        super().__init__(reason)
        self.flag = flag


class Probe:
    """One source of samples. Its methods are called from one thread, in the order open, sample…, close."""

    name = ""  # key in the record's "unavailable" when the whole probe fails
    maker: str | None = None  # who measures energy and device memory, as the record names it

    def __init__(self) -> None:
        self.library: Any = None  # the driver's Python module
        self.unavailable: dict[str, str] = {}  # topic → reason
        self.users: dict[int, tuple[int, int]] = {}  # PID on the device → first and last time seen, ns
        self._working: dict[tuple[str, int], str] = {}  # (topic, GPU) → the function that worked

    def open(self) -> dict:
        """Static facts. Raises Unavailable."""
        return {}

    def sample(self, now_ns: int, pids: set[int] | None) -> dict[str, float | int | None]:
        """Values by series name; a sample may lack some. `pids` are the launch's. Raises Unavailable."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the driver."""

    def lost(self, error: Exception, worked: bool) -> bool:
        """Whether an error means that the device is gone; `worked`: this reading succeeded before."""
        return False

    def ask(self, topic: str, gpu: int, functions: str | tuple[str, ...], *arguments):
        """Read a value from the driver with the first of `functions` that works; None if none does.

        A reading that fails the first time is not tried again, and the reason is recorded; one that fails later is None
        in that sample.
        """
        if topic in self.unavailable:
            return None
        worked = self._working.get((topic, gpu))
        reason = ""
        for name in (worked,) if worked else (functions,) if isinstance(functions, str) else functions:
            try:
                value = getattr(self.library, name)(*arguments)
            except Exception as error:  # every library has its own errors, and old releases lack functions
                reason = f"{self.maker}: {error}"
                if self.lost(error, worked is not None):
                    raise Unavailable(reason, flag=Flag.GPU_LOST) from error
            else:
                self._working[topic, gpu] = name
                return value
        if worked is None:
            self.unavailable[topic] = reason
        return None

    def memory_of(self, listed: list[tuple[int, float | None]], now_ns: int, pids: set[int] | None) -> float | None:
        """MiB that the launch's processes use, from the driver's (PID, MiB) list; None if unknown."""
        for pid, _ in listed:
            self.users[pid] = (self.users.get(pid, (now_ns,))[0], now_ns)
        own = [mib for pid, mib in listed if pids and pid in pids]
        sizes = [mib for mib in own if mib is not None]
        # Not listed does not mean zero: the launch has not begun, or the driver lists PIDs of another namespace
        return sum(sizes) if own and len(sizes) == len(own) else None


def combine(gpus: list[dict]) -> dict:
    """Readings of several GPUs as those of one device; a value missing for one GPU is missing for all."""
    merged = {}
    for name in gpus[0] if gpus else ():
        values = [gpu[name] for gpu in gpus]
        merged[name] = values[0] if len(values) == 1 else None if None in values else _COMBINED_BY[name](values)
    return merged


class GpuProbe(Probe):
    """GPUs of one vendor, sampled together; slow readings are taken four times a second."""

    SLOW_NS = 250_000_000

    def __init__(self, library=None) -> None:
        super().__init__()
        self.library = library
        self._gpus: list = []
        self._open = False
        self._slow_due = 0

    def sample(self, now_ns: int, pids: set[int] | None) -> dict[str, float | int | None]:
        """Energy (J), power (W), SM clock (MHz), memory in use (MiB), slowdown bits; the slow readings when due."""
        values = combine([self._fast(i, gpu) for i, gpu in enumerate(self._gpus)])
        if now_ns >= self._slow_due:
            self._slow_due = now_ns + self.SLOW_NS
            values |= combine([self._slow(i, gpu) for i, gpu in enumerate(self._gpus)])
            values["process_mib"] = self._processes(now_ns, pids)
        return values

    def _fast(self, i: int, gpu) -> dict:
        """The readings of GPU `i` that every sample has."""
        raise NotImplementedError

    def _slow(self, i: int, gpu) -> dict:
        """Memory clock (MHz), temperature (°C) and utilization (%) of GPU `i`."""
        raise NotImplementedError

    def _processes(self, now_ns: int, pids: set[int] | None) -> float | None:
        """MiB that the launch's processes use on all GPUs; None if the driver does not report it."""
        raise NotImplementedError
