"""What every source of samples has in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

from orchestrator.base.outcomes import Flag

_TOGETHER: dict[str, Callable[[list], float]] = {
    **dict.fromkeys(("energy_j", "power_w", "device_used_mib", "power_limit_w"), sum),
    **dict.fromkeys(("sm_clock_mhz", "memory_clock_mhz", "persistence", "ecc"), min),
    **dict.fromkeys(("temperature_c", "mig"), max),
    "utilization": lambda values: sum(values) / len(values),
    "throttle": lambda values: reduce(or_, values),
}


class Unavailable(Exception):
    """A probe cannot go on. The message is the reason; `flag` goes into the record's flags."""

    def __init__(self, reason: str, flag: Flag | None = None):
        super().__init__(reason)
        self.flag = flag


class Probe:
    """One source of samples. Its methods are called from one thread, in the order open, sample…, close."""

    name = ""  # key in the record's "unavailable" when the whole probe fails
    maker: str | None = None  # who measures energy and device memory, as the record names it

    def __init__(self) -> None:
        self.library: Any = None  # the driver's Python module
        self.unavailable: dict[str, str] = {}  # topic → why
        self.users: dict[int, tuple[int, int]] = {}  # PID on the device → (first, last) sight, ns
        self._working: dict[tuple[str, int], str] = {}  # (topic, GPU) → the function that answered

    def open(self) -> dict:
        """Static facts. Raises Unavailable."""
        return {}

    def sample(self, now_ns: int, pids: set[int] | None) -> dict[str, float | int | None]:
        """Values by series name; a series may be left out of a sample. `pids` are the launch's. Raises Unavailable."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the driver back."""

    def lost(self, error: Exception, worked: bool) -> bool:
        """Whether an error means that the device is gone; `worked` tells if this reading was ever had."""
        return False

    def ask(self, topic: str, gpu: int, functions: str | tuple[str, ...], *arguments):
        """One reading of the driver: the first of `functions` that this driver has; None where it cannot tell.

        A reading that was never had is given up, with its reason; one that fails later is unknown for that sample.
        """
        if topic in self.unavailable:
            return None
        worked = self._working.get((topic, gpu))
        reason = ""
        for name in (worked,) if worked else (functions,) if isinstance(functions, str) else functions:
            try:
                value = getattr(self.library, name)(*arguments)
            except Exception as error:  # each library has errors of its own, and old releases lack functions
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
        """MiB that the launch's processes hold, of the driver's (PID, MiB) list; None where that is not known."""
        for pid, _ in listed:
            self.users[pid] = (self.users.get(pid, (now_ns,))[0], now_ns)
        own = [mib for pid, mib in listed if pids and pid in pids]
        told = [mib for mib in own if mib is not None]
        # None of ours listed is no zero: it has not begun, or the driver counts PIDs in another namespace
        return sum(told) if own and len(told) == len(own) else None


def combine(gpus: list[dict]) -> dict:
    """Readings of several GPUs as those of one device; unknown of one GPU is unknown of all."""
    merged = {}
    for name in gpus[0] if gpus else ():
        values = [gpu[name] for gpu in gpus]
        merged[name] = values[0] if len(values) == 1 else None if None in values else _TOGETHER[name](values)
    return merged


class GpuProbe(Probe):
    """Some GPUs of one vendor, sampled together; what changes slowly and costs more, four times a second."""

    SLOW_NS = 250_000_000

    def __init__(self, library=None) -> None:
        super().__init__()
        self.library = library
        self._gpus: list = []
        self._open = False
        self._slow_due = 0

    def sample(self, now_ns: int, pids: set[int] | None) -> dict[str, float | int | None]:
        """Energy (J), power (W), SM clock (MHz), memory in use (MiB), slowdown bits; at times the slow ones too."""
        values = combine([self._fast(i, gpu) for i, gpu in enumerate(self._gpus)])
        if now_ns >= self._slow_due:
            self._slow_due = now_ns + self.SLOW_NS
            values |= combine([self._slow(i, gpu) for i, gpu in enumerate(self._gpus)])
            values["process_mib"] = self._processes(now_ns, pids)
        return values

    def _fast(self, i: int, gpu) -> dict:
        """What is read of GPU `i` at every sample."""
        raise NotImplementedError

    def _slow(self, i: int, gpu) -> dict:
        """Memory clock (MHz), temperature (°C) and utilization (%) of GPU `i`."""
        raise NotImplementedError

    def _processes(self, now_ns: int, pids: set[int] | None) -> float | None:
        """MiB that the launch's processes hold on all GPUs, None where the driver does not tell."""
        raise NotImplementedError
