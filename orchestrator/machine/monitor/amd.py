"""AMD GPUs through AMD SMI (the module amdsmi, which comes with ROCm).

Written from AMD's API reference (rocm.docs.amd.com/projects/amdsmi, ROCm 6.0 to 7.2) and tested only against a fake
library: it has never run on an AMD GPU.
"""

from __future__ import annotations

import os

from orchestrator.machine.host import MIB, Host
from orchestrator.machine.monitor.energy import HW_THERMAL, POWER_CAP
from orchestrator.machine.monitor.probes import GpuProbe, Unavailable, combine

_ABSENT = "the Python package amdsmi cannot be used ({}); it comes with ROCm: pip install /opt/rocm/share/amd_smi"
# indep_throttle_status, drivers/gpu/drm/amd/pm/swsmu/inc/amdgpu_smu.h: power and current limits, temperatures
_POWER_BITS, _THERMAL_BITS = 0xFFFFFFFF, 0xFFFF << 32
# MI300 and newer have counters instead (gpu_metrics 1.5)
_POWER_COUNTER = "ppt_residency_acc"
_THERMAL_COUNTERS = tuple(f"{what}_residency_acc" for what in ("prochot", "socket_thm", "vr_thm", "hbm_thm"))


class AmdProbe(GpuProbe):
    """Energy, power, clocks, temperature, slowdowns and memory of the GPUs with these render nodes ("renderD128")."""

    name, maker = "amdsmi", "amdsmi"

    def __init__(self, nodes: tuple[str, ...], amdsmi=None, host: Host | None = None):
        super().__init__(amdsmi)
        self._nodes, self._host = nodes, host or Host()
        self._counters: dict[int, dict] = {}

    def open(self) -> dict:
        """Driver and power limit (W, summed). Raises Unavailable."""
        try:
            if self.library is None:
                import amdsmi  # noqa: PLC0415 - only now: importing this module must need no GPU library

                self.library = amdsmi
            self.library.amdsmi_init()
            self._open = True
            handles = self.library.amdsmi_get_processor_handles()
            by_address = {self.library.amdsmi_get_gpu_device_bdf(handle).lower(): handle for handle in handles}
        except Exception as error:  # without the C library the import raises OSError, KeyError…
            raise Unavailable(_ABSENT.format(error)) from error
        for node in self._nodes:
            address = os.path.basename(os.path.realpath(self._host.path(f"/sys/class/drm/{node}/device"))).lower()
            if address not in by_address:
                raise Unavailable(f"amdsmi lists no GPU at {address}, the address of {node} (a partition of a GPU?)")
            self._gpus.append(by_address[address])
        driver = self.ask("driver", 0, "amdsmi_get_gpu_driver_info", self._gpus[0])
        limits = [_number(self._power(i, gpu), "power_limit") for i, gpu in enumerate(self._gpus)]
        # Documented in W; releases before ROCm 7 return µW
        limits = [limit / 1e6 if limit is not None and limit > 1e5 else limit for limit in limits]
        return {"driver": (driver or {}).get("driver_version"), **combine([{"power_limit_w": w} for w in limits])}

    def _power(self, i: int, gpu) -> dict | None:
        return self.ask("power", i, "amdsmi_get_power_info", gpu)

    def _fast(self, i: int, gpu) -> dict:
        counter = self.ask("energy", i, "amdsmi_get_energy_count", gpu)
        # Called "power" before ROCm 6.4; accumulator times resolution is in µJ
        ticks, step = _number(counter, "energy_accumulator", "power"), _number(counter, "counter_resolution")
        memory = self.ask("memory", i, "amdsmi_get_gpu_vram_usage", gpu)  # MiB
        return {
            "energy_j": None if ticks is None or step is None else round(ticks * step / 1e6, 6),
            "power_w": _number(self._power(i, gpu), "socket_power", "current_socket_power", "average_socket_power"),
            "sm_clock_mhz": self._clock(i, gpu, "GFX"),
            "device_used_mib": _number(memory, "vram_used"),
        }

    def _clock(self, i: int, gpu, domain: str) -> float | None:
        domains = self.library.AmdSmiClkType
        clock = self.ask(f"clock_{domain.lower()}", i, "amdsmi_get_clock_info", gpu, getattr(domains, domain))
        return _number(clock, "clk", "cur_clk")

    def _slow(self, i: int, gpu) -> dict:
        smi = self.library
        sensor = (gpu, smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureMetric.CURRENT)
        degrees = self.ask("temperature", i, "amdsmi_get_temp_metric", *sensor)
        if isinstance(degrees, (int, float)) and degrees > 1000:
            degrees /= 1000  # documented in m°C; recent releases return °C
        return {
            "memory_clock_mhz": self._clock(i, gpu, "MEM"),
            "temperature_c": degrees,
            "utilization": _number(self.ask("utilization", i, "amdsmi_get_gpu_activity", gpu), "gfx_activity"),
            "throttle": self._throttle(i, self.ask("throttle", i, "amdsmi_get_gpu_metrics_info", gpu)),
        }

    def _throttle(self, i: int, metrics: dict | None) -> int | None:
        """Slowdown reasons as NVML's bits: current ones, or on MI300 and newer those since the last sample."""
        status = _number(metrics, "indep_throttle_status")
        counters = {name: _number(metrics, name) for name in (_POWER_COUNTER, *_THERMAL_COUNTERS)}
        before, self._counters[i] = self._counters.get(i, {}), counters

        def grew(name: str) -> bool:
            return None not in (before.get(name), counters[name]) and counters[name] > before[name]

        if status is None and all(value is None for value in counters.values()):
            return None
        status = int(status or 0)
        bits = POWER_CAP if status & _POWER_BITS or grew(_POWER_COUNTER) else 0
        return bits | (HW_THERMAL if status & _THERMAL_BITS or any(map(grew, _THERMAL_COUNTERS)) else 0)

    def _processes(self, now_ns: int, pids: set[int] | None) -> float | None:
        listed = []
        for i, gpu in enumerate(self._gpus):
            processes = self.ask("processes", i, "amdsmi_get_gpu_process_list", gpu)
            if processes is None or not all(isinstance(process, dict) for process in processes):
                return None  # handles instead of dictionaries before ROCm 6.0
            for process in processes:
                size = _number(process.get("memory_usage"), "vram_mem")  # bytes
                if size != 0:  # the list includes processes that opened the driver but use no memory
                    listed.append((process["pid"], None if size is None else round(size / MIB, 1)))
        return self.memory_of(listed, now_ns, pids)

    def close(self) -> None:
        """Release the library."""
        if self._open:
            self._open = False
            self.library.amdsmi_shut_down()


def _number(values: dict | None, *names: str) -> float | int | None:
    """The first of these entries that is a number: an unsupported one is missing, "N/A", or all ones."""
    for name in names:
        value = (values or {}).get(name)
        if isinstance(value, (int, float)) and value not in (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF):
            return value
    return None
