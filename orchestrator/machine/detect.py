"""Detects the devices of this machine: NVIDIA through NVML, AMD through the kernel's files, Apple by its name.

Importing this module imports no GPU library. A kind without a device comes with the reason.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from orchestrator.machine.host import MIB, Host

KINDS = ("cpu", "cuda", "rocm", "metal")


@dataclass(frozen=True)
class Device:
    """One device, or several GPUs used together. `memory_mib` is their sum; `detail["gpus"]` has each GPU's."""

    kind: str  # one of KINDS
    name: str  # "NVIDIA H100 80GB HBM3", "2 x AMD Instinct MI300X", "Intel Xeon … (2 cores)"
    ids: tuple[str, ...]  # GPU UUIDs in order (cuda), render node names (rocm), ("cpu",), ("metal",)
    memory_mib: float | None
    detail: dict = field(hash=False)  # JSON-serialisable; for cuda and rocm: driver, …, "gpus": one dict per id

    @property
    def key(self) -> str:
        """A name for files and result keys, of [a-z0-9_-] only; short even for several GPUs."""
        if len(self.ids) == 1:
            return self.lock_keys[0]
        digest = hashlib.sha256(",".join(self.ids).encode()).hexdigest()[:12]
        return f"{self.kind}-{len(self.ids)}x-{digest}"

    @property
    def lock_keys(self) -> tuple[str, ...]:
        """One key per physical device. They are sorted: locking in this order avoids deadlocks."""
        if self.ids == (self.kind,):
            return (self.kind,)
        return tuple(sorted(f"{self.kind}-{re.sub(r'[^a-z0-9_-]', '_', i.lower())}" for i in self.ids))


@dataclass(frozen=True)
class Detection:
    """The devices of one kind. `reason`: why there is none, or what is present but unusable."""

    devices: tuple[Device, ...] = ()
    reason: str | None = None
    broken: bool = False  # hardware or driver is present but does not work

    @property
    def why(self) -> str:
        """The reason as text, empty without one."""
        return self.reason or ""


def detect(nvml=None, host: Host | None = None) -> dict[str, Detection]:
    """Detect the devices of every kind. `nvml` replaces the module pynvml. Never raises."""
    host = host or Host()
    return {"cpu": _find_cpu(host), "cuda": _find_cuda(nvml), "rocm": _find_rocm(host), "metal": _find_metal(host)}


def _find_cpu(host: Host) -> Detection:
    cores = host.physical_cores()
    name = f"{host.cpu_model() or host.machine} ({cores} core{'s' if cores != 1 else ''})"
    detail = {"threads": host.default_threads(), "features_digest": host.cpu_features_digest()}
    return Detection((Device("cpu", name, ("cpu",), host.memory_mib()["total"], detail),))


def _find_metal(host: Host) -> Detection:
    if host.system != "Darwin":
        return Detection(reason=f"this is {host.system}, not macOS")
    if host.machine != "arm64":
        return Detection(reason="not Apple silicon, or this Python runs under Rosetta (use an arm64 Python)")
    name = host.cpu_model() or "Apple silicon"
    return Detection((Device("metal", name, ("metal",), host.memory_mib()["total"], {"unified_memory": True}),))


def _find_cuda(nvml) -> Detection:
    if nvml is None:
        try:
            import pynvml  # noqa: PLC0415 - only now: importing this module must need no GPU library
        except ImportError:
            return Detection(
                reason="the Python package nvidia-ml-py is not installed (pip install nvidia-ml-py)", broken=True
            )
        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return _explain_nvml(nvml, error)
    try:
        return _list_cuda(nvml)
    except nvml.NVMLError as error:
        return _explain_nvml(nvml, error)
    finally:
        nvml.nvmlShutdown()


def _explain_nvml(nvml, error) -> Detection:
    reasons = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver: libnvidia-ml.so not found",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed, but its kernel module is not loaded",
        nvml.NVML_ERROR_NO_PERMISSION: "no permission to open the NVIDIA device files (/dev/nvidia*)",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated: library and kernel module differ "
        "(reboot)",
    }
    reason = reasons.get(error.value, f"NVML says: {error}")
    return Detection(reason=reason, broken=error.value != nvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def _list_cuda(nvml) -> Detection:
    def ask(function: str, *arguments):
        """One NVML reading; None if this GPU or driver lacks it. Old releases of pynvml return bytes."""
        try:
            value = getattr(nvml, function)(*arguments)
        except nvml.NVMLError:
            return None
        return value.decode() if isinstance(value, bytes) else value

    cuda = ask("nvmlSystemGetCudaDriverVersion_v2")  # 12040 → 12.4
    shared = {
        "driver": ask("nvmlSystemGetDriverVersion"),
        "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
    }

    def entry(handle, index: str, mig: str | None) -> Device | None:
        uuid = ask("nvmlDeviceGetUUID", handle)
        if uuid is None:
            return None
        memory = ask("nvmlDeviceGetMemoryInfo", handle)
        mib = memory.total / MIB if memory else None
        name = ask("nvmlDeviceGetName", handle) or "NVIDIA GPU"
        capability = ask("nvmlDeviceGetCudaComputeCapability", handle)
        gpu = {
            "index": index,
            "uuid": uuid,
            "name": name,
            "memory_mib": mib,
            "compute_capability": ".".join(map(str, capability)) if capability else None,
            "mig": mig,  # None, "parent" (only its instances are usable) or "instance"
        }
        return Device("cuda", name, (uuid,), mib, {**shared, "gpus": [gpu]})

    devices, problems = [], []
    for number in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(number)
        except nvml.NVMLError as error:  # one lost GPU must not hide the others
            problems.append(f"GPU {number}: {error}")
            continue
        split = (ask("nvmlDeviceGetMigMode", handle) or (0,))[0] == 1
        parts = [entry(handle, str(number), "parent" if split else None)]
        for slot in range((ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0) if split else 0):
            if (instance := ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, slot)) is not None:
                parts.append(entry(instance, f"{number}:{slot}", "instance"))
        if parts[0] is None:
            problems.append(f"GPU {number}: its UUID cannot be read")
        devices += [part for part in parts if part]
    if not devices and not problems:
        return Detection(reason="the NVIDIA driver works but lists no GPU", broken=True)
    return Detection(tuple(devices), "; ".join(problems) or None, broken=bool(problems))


def _find_rocm(host: Host) -> Detection:
    """The GPUs in the kernel's compute topology, in ROCr's order."""
    if not host.path("/dev/kfd").exists():
        return Detection(reason="no AMD GPU driver: /dev/kfd not found")
    driver = host.read("/sys/module/amdgpu/version")  # only the out-of-tree driver has a version
    devices: list[Device] = []
    for node in host.glob("/sys/class/kfd/kfd/topology/nodes/*"):
        values = dict(line.split(" ", 1) for line in (host.read(node / "properties") or "").splitlines() if " " in line)
        minor, version = values.get("drm_render_minor", "0"), int(values.get("gfx_target_version", "0"))
        if minor in ("0", "-1") or values.get("simd_count", "0") == "0":
            continue  # a CPU, or a GPU without a render node, which is unusable
        render = f"renderD{minor}"
        # 90402 → gfx942, 90010 → gfx90a: major in decimal, minor and stepping as one hexadecimal digit each
        arch = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}" if version else None
        # Heap types 1 and 2 are the GPU's own memory (HSA_MEM_HEAP_TYPE_FB_PUBLIC and _PRIVATE).
        banks = [host.read(bank) or "" for bank in sorted(node.glob("mem_banks/*/properties"))]
        sizes = [re.search(r"size_in_bytes (\d+)", bank) for bank in banks if re.search(r"heap_type [12]\b", bank)]
        size: float | None = sum(int(match[1]) for match in sizes if match)
        size = size or host.number(f"/sys/class/drm/{render}/device/mem_info_vram_total")
        gpu: dict[str, Any] = {
            "index": str(len(devices)),
            "render_node": f"/dev/dri/{render}",
            "name": host.read(f"/sys/class/drm/{render}/device/product_name") or f"AMD GPU {arch or render}",
            "memory_mib": size / MIB if size else None,
            "arch": arch,
        }
        devices.append(Device("rocm", gpu["name"], (render,), gpu["memory_mib"], {"driver": driver, "gpus": [gpu]}))
    if not devices:
        return Detection(reason="/dev/kfd is there, but the kernel lists no GPU that can compute", broken=True)
    return Detection(tuple(devices))
