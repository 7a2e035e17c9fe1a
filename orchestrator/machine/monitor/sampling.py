"""Samples device and processor at 20 Hz while a launch runs, in one thread on the host.

The thread uses less than 2 % of one core, so as not to disturb the launch: if a driver answers slowly, it samples less
often and sets a flag. Nothing here raises into a run; what cannot be read is recorded with the reason.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from orchestrator.base.outcomes import Flag
from orchestrator.machine.detect import Device
from orchestrator.machine.monitor.amd import AmdProbe
from orchestrator.machine.monitor.energy import flags, integrate
from orchestrator.machine.monitor.nvidia import NvidiaProbe
from orchestrator.machine.monitor.probes import Probe, Unavailable
from orchestrator.machine.monitor.processor import CpuProbe
from orchestrator.machine.monitor.rapl import RaplProbe

INTERVAL_S = 0.05
CPU_SHARE = 0.02  # of one core
PIDS_EVERY_NS = 1_000_000_000
USER_NS = 2_000_000_000  # shorter visits do not count: a new process of the launch looks foreign for up to 1 s
# Always in the record, null if unknown; probes add more
STATIC = ("driver", "power_limit_w", "persistence", "mig", "ecc", "governor", "turbo", "cpu_max_mhz")
_NO_ENERGY = {"metal": "Apple's energy counters are for root only (powermetrics)"}


def default_probes(device: Device) -> list[Probe]:
    """The probes of a device, and of the processor."""
    if device.kind == "cuda":
        return [NvidiaProbe(device.ids), CpuProbe()]
    if device.kind == "rocm":
        return [AmdProbe(device.ids), CpuProbe()]
    return [RaplProbe(), CpuProbe()] if device.kind == "cpu" else [CpuProbe()]


class Monitor:
    """Samples from `start` to `stop`; samples before `mark("launch")` count as idle.

    start → idle(2.0) → mark("launch") → watch(pids of the container) → … → stop
    """

    PATIENCE_S = 5.0

    def __init__(
        self,
        device: Device,
        probes: list[Probe] | None = None,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], int] = time.monotonic_ns,
    ):
        self._device, self._interval_s, self._clock = device, interval_s, clock
        self._probes = default_probes(device) if probes is None else list(probes)
        self._all_probes = list(self._probes)
        self._read_pids: Callable[[], set[int]] | None = None
        self._current_pids: set[int] | None = None
        self._own_pids: set[int] = set()
        self._pids_due = 0
        self._marks: dict[str, int] = {}
        self._t_ns: list[int] = []
        self._series: dict[str, list] = {}
        self._static = dict.fromkeys(STATIC)
        self._unavailable: dict[str, str] = {}
        self._flags: set[Flag] = set()
        self._cpu_s = 0.0
        self._ready, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def start(self) -> None:
        """Start the sampling thread."""
        self._thread.start()

    def idle(self, seconds: float) -> None:
        """Sleep for `seconds` after the first sample (awaited for at most 10 s) while idle samples are taken."""
        self._ready.wait(10)
        time.sleep(seconds)

    def mark(self, name: str) -> None:
        """Record the start of a phase (CLOCK_MONOTONIC, ns)."""
        self._marks[name] = self._clock()

    def watch(self, pids: Callable[[], set[int]]) -> None:
        """Set the function that returns the host PIDs of the launch, called from the thread at most once a second.

        Its CPU time counts as the monitor's: reading cgroup.procs of a control group is cheap, asking Docker is not.
        """
        self._read_pids = pids

    def open(self) -> None:
        """Open the probes; `start` does it in the thread."""
        for probe in list(self._probes):
            facts = self._guard(probe, probe.open)
            self._static.update(facts or {})

    def sample(self) -> None:
        """Take one sample; the thread does it every interval."""
        self._learn_pids(self._clock())
        now = self._clock()
        values: dict = {}
        for probe in list(self._probes):
            values.update(self._guard(probe, lambda probe=probe: probe.sample(now, self._current_pids)) or {})
        for name in values.keys() - self._series.keys():
            self._series[name] = [None] * len(self._t_ns)
        for name, series in self._series.items():
            series.append(values.get(name))
        self._t_ns.append(now)

    def stop(self) -> dict:
        """Stop sampling and return the record. Never raises; waits at most 5 s for a driver that hangs.

        It is JSON-serialisable. "t_ns" are the samples' times; every entry of "series" has a value or null for each
        (energy_j, power_w, sm_clock_mhz, memory_clock_mhz, temperature_c, throttle, device_used_mib, process_mib,
        utilization, cpu_mhz, cpu_throttles, load1, steal_s; if available). "unavailable" has the reasons for the rest.
        """
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(self.PATIENCE_S)
        if self._thread.is_alive():
            self._flags.add(Flag.MONITOR_HUNG)
            self._unavailable["monitor"] = "a driver does not answer: the samples end where it fell silent"
        elif self._thread.ident is None:  # never started: the caller took the samples
            self._close()
        try:
            return self._record()
        except Exception as error:  # losing the samples must not lose the measurement
            self._unavailable["monitor"] = f"{type(error).__name__}: {error}"
            self._t_ns, self._series, self._all_probes = [], {}, []
            return self._record()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self.open()
        # Budget: CPU_SHARE of a core since the start. Slow samples lengthen the pause; the budget starts one second
        # ahead, since the first samples find cold caches
        budget_start, opened = time.monotonic() - 1.0, time.thread_time()
        due = time.monotonic()
        while True:
            self.sample()
            self._ready.set()
            self._cpu_s = time.thread_time()
            now = time.monotonic()
            due = max(due + self._interval_s, now, budget_start + (self._cpu_s - opened) / CPU_SHARE)
            if self._stopped.wait(due - now):
                break
        self.sample()  # so that the last iteration lies between two samples
        if self._t_ns[-1] - self._t_ns[0] > 2e9 * self._interval_s * len(self._t_ns):
            self._flags.add(Flag.MONITOR_SLOWED)
        self._close()
        self._cpu_s = time.thread_time()

    def _guard(self, probe: Probe, call: Callable):
        """Call a probe, and drop it if it fails."""
        try:
            return call()
        except Exception as error:
            reason = str(error) if isinstance(error, Unavailable) else f"{type(error).__name__}: {error}"
            self._unavailable[probe.name] = reason
            if isinstance(error, Unavailable) and error.flag:
                self._flags.add(error.flag)
            self._probes.remove(probe)
            return None

    def _close(self) -> None:
        for probe in self._all_probes:
            try:
                probe.close()
            except Exception as error:
                self._unavailable.setdefault(probe.name, f"closing: {error}")

    def _learn_pids(self, now: int) -> None:
        if self._read_pids is None or now < self._pids_due:
            return
        self._pids_due = now + PIDS_EVERY_NS
        try:
            self._current_pids = set(self._read_pids())
            self._own_pids |= self._current_pids
        except Exception as error:  # the container may be gone: keep the last PIDs
            self._unavailable["pids"] = f"{type(error).__name__}: {error}"

    # -- the record ------------------------------------------------------------------------------------------------

    def _record(self) -> dict:
        lengths = [len(values) for values in list(self._series.values())]
        count = min([len(self._t_ns), *lengths])  # a hung thread may be between two appends
        t_ns = self._t_ns[:count]
        series = {name: values[:count] for name, values in list(self._series.items())}
        series = {name: values for name, values in series.items() if any(v is not None for v in values)}
        for probe in self._all_probes:
            self._unavailable.update(probe.unavailable)
        maker = next((probe.maker for probe in self._all_probes if probe.maker), None)
        source = f"{maker} energy counter" if "energy_j" in series else None
        if source is None and "power_w" in series:
            series["energy_j"], source = integrate(t_ns, series["power_w"]), f"{maker} power, integrated"
        if source is None and "energy" not in self._unavailable:
            reasons = [self._unavailable.get(probe.name) for probe in self._all_probes if probe.maker]
            reason = next(filter(None, reasons), None) or _NO_ENERGY.get(self._device.kind)
            self._unavailable["energy"] = reason or f"nothing here reads the energy of a {self._device.kind} device"
        launch = self._marks.get("launch", t_ns[0] if t_ns else 0)
        if self._is_shared(launch):
            self._flags.add(Flag.DEVICE_SHARED)
        record = {
            "interval_s": self._interval_s,
            "marks": dict(self._marks),
            "t_ns": t_ns,
            "series": series,
            "energy_source": source,
            "static": dict(self._static),
            **_memory(maker, launch, t_ns, series),
            "unavailable": dict(self._unavailable),
            "monitor_cpu_s": round(self._cpu_s, 4),
            "flags": sorted(self._flags),
        }
        return {**record, "flags": flags(record)}

    def _is_shared(self, launch: int) -> bool:
        """Whether a foreign process was on the device during the launch."""
        for users in (probe.users for probe in self._all_probes):
            # Otherwise the driver may list PIDs of another namespace
            is_own_listed = not self._own_pids.isdisjoint(users)
            for pid, (first, last) in list(users.items()):
                foreign = pid not in self._own_pids and (is_own_listed or first < launch)
                if foreign and last >= launch and last - first >= USER_NS:
                    return True
        return False


def _memory(maker: str | None, launch: int, t_ns: list[int], series: dict[str, list]) -> dict:
    """Device memory before the launch and its peak during it, in MiB, and the source of the peak."""
    used = [(t, mib) for t, mib in zip(t_ns, series.get("device_used_mib", ()), strict=False) if mib is not None]
    before = [mib for t, mib in used if t < launch] or [mib for t, mib in used if t == launch]
    during = [mib for t, mib in used if t >= launch]
    own = [mib for mib in series.get("process_mib", ()) if mib is not None]
    baseline = before[-1] if before else None
    peak = source = None
    if own:
        peak, source = max(own), f"{maker}, this launch's processes"
    elif during and baseline is not None:
        peak, source = round(max(during) - baseline, 1), f"{maker}, device minus baseline"
    return {"baseline_device_mib": baseline, "peak_device_mib": peak, "peak_device_source": source}
