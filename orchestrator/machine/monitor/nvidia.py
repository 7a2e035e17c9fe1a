"""NVIDIA GPUs through NVML (the module pynvml of nvidia-ml-py)."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.base.outcomes import Flag
from orchestrator.machine.host import MIB
from orchestrator.machine.monitor.probes import GpuProbe, Unavailable, combine

_INSTANCE = "a MIG instance has no {} reading of its own: NVML's is the whole GPU's"


class Gpu(NamedTuple):
    """NVML handles: `part` is the launch's device, `whole` its physical GPU; they differ for a MIG instance."""

    part: object
    whole: object
    is_instance: bool


class NvidiaProbe(GpuProbe):
    """Energy (mJ counter, Volta and newer), power, clocks, temperature, slowdown reasons and memory of GPUs.

    NVML updates the energy counter every 20 to 100 ms; power is, on most GPUs since Ampere, a mean over the last
    second (nvml.h, nvmlDeviceGetPowerUsage). Several GPUs give sums, the lowest clock and the highest temperature.
    """

    name, maker = "nvml", "NVML"

    def __init__(self, uuids: tuple[str, ...], nvml=None):
        super().__init__(nvml)
        self._uuids = uuids

    def open(self) -> dict:
        """Driver, power limit (W, summed), persistence, MIG, ECC. Raises Unavailable."""
        if self.library is None:
            try:
                import pynvml  # noqa: PLC0415 - only now: importing this module must need no GPU library
            except ImportError:
                reason = "the Python package nvidia-ml-py is not installed (pip install nvidia-ml-py)"
                raise Unavailable(reason) from None
            self.library = pynvml
        nvml = self.library
        try:
            nvml.nvmlInit()
            self._open = True
            for uuid in self._uuids:
                part = whole = nvml.nvmlDeviceGetHandleByUUID(uuid)
                if instance := uuid.upper().startswith("MIG-"):
                    whole = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
                self._gpus.append(Gpu(part, whole, instance))
        except nvml.NVMLError as error:
            flag = Flag.GPU_LOST if self.lost(error, worked=False) else None
            raise Unavailable(f"NVML: {error}", flag) from error
        if any(gpu.is_instance for gpu in self._gpus):
            self.unavailable |= {topic: _INSTANCE.format(topic) for topic in ("energy", "power", "utilization")}
        driver = self.ask("driver", 0, "nvmlSystemGetDriverVersion")
        facts = combine([self._facts(i, gpu) for i, gpu in enumerate(self._gpus)])
        return {"driver": driver.decode() if isinstance(driver, bytes) else driver, **facts}

    def _facts(self, i: int, gpu: Gpu) -> dict:
        limit = self.ask("power_limit", i, "nvmlDeviceGetPowerManagementLimit", gpu.whole)  # mW
        persistence = self.ask("persistence", i, "nvmlDeviceGetPersistenceMode", gpu.whole)
        mig = self.ask("mig", i, "nvmlDeviceGetMigMode", gpu.whole)  # [current, after a reset]
        ecc = self.ask("ecc", i, "nvmlDeviceGetEccMode", gpu.whole)  # likewise
        return {
            "power_limit_w": None if limit is None else limit / 1000,
            "persistence": None if persistence is None else bool(persistence),
            "mig": None if mig is None else bool(mig[0]),
            "ecc": None if ecc is None else bool(ecc[0]),
        }

    def _fast(self, i: int, gpu: Gpu) -> dict:
        nvml = self.library
        energy = self.ask("energy", i, "nvmlDeviceGetTotalEnergyConsumption", gpu.part)  # read first: closest to now_ns
        power = self.ask("power", i, "nvmlDeviceGetPowerUsage", gpu.part)
        clock = self.ask("sm_clock", i, "nvmlDeviceGetClockInfo", gpu.whole, nvml.NVML_CLOCK_SM)
        # The second name is that of releases before 535
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        memory = self.ask("memory", i, "nvmlDeviceGetMemoryInfo", gpu.part)
        return {
            "energy_j": None if energy is None else energy / 1000,
            "power_w": None if power is None else power / 1000,
            "sm_clock_mhz": clock,
            "throttle": self.ask("throttle", i, names, gpu.whole),
            "device_used_mib": None if memory is None else round(memory.used / MIB, 1),
        }

    def _slow(self, i: int, gpu: Gpu) -> dict:
        nvml = self.library
        names = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature")  # the second is deprecated
        usage = self.ask("utilization", i, "nvmlDeviceGetUtilizationRates", gpu.part)
        return {
            "memory_clock_mhz": self.ask("memory_clock", i, "nvmlDeviceGetClockInfo", gpu.whole, nvml.NVML_CLOCK_MEM),
            "temperature_c": self.ask("temperature", i, names, gpu.whole, nvml.NVML_TEMPERATURE_GPU),
            "utilization": None if usage is None else usage.gpu,
        }

    def _processes(self, now_ns: int, pids: set[int] | None) -> float | None:
        listed: list[tuple[int, float | None]] = []
        for i, gpu in enumerate(self._gpus):
            processes = self.ask("processes", i, "nvmlDeviceGetComputeRunningProcesses", gpu.part)
            if processes is None:
                return None
            # Bytes; None if the driver does not report it (WDDM, some containers)
            used = [process.usedGpuMemory for process in processes]
            sizes = [None if nbytes is None else round(nbytes / MIB, 1) for nbytes in used]
            listed += zip((process.pid for process in processes), sizes, strict=True)
        return self.memory_of(listed, now_ns, pids)

    def lost(self, error: Exception, worked: bool) -> bool:
        """A GPU that fell off the bus reports so, or "unknown error" for a reading that worked before."""
        value, nvml = getattr(error, "value", None), self.library
        return value == nvml.NVML_ERROR_GPU_IS_LOST or (worked and value == nvml.NVML_ERROR_UNKNOWN)

    def close(self) -> None:
        """Release NVML."""
        if self._open:
            self._open = False
            self.library.nvmlShutdown()
