"""The devices that a benchmark can run on: finding them, choosing one, and handing it to a container.

Nothing here imports a GPU library until it is asked to look; a machine without one says why nothing was found.
NVIDIA is read through NVML, AMD through the kernel's own files, Apple by the operating system's name.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.errors import UserError
from orchestrator.host import MIB, Host

KINDS = ("cpu", "cuda", "rocm", "metal")
PREFERENCE = ("cuda", "rocm", "metal", "cpu")  # what `auto` takes first
TITLES = {"cuda": "NVIDIA GPU", "rocm": "AMD GPU", "metal": "Apple GPU", "cpu": "CPU"}

# Words that people type for a kind; difflib alone would take "gpu" for "cpu".
_ALIASES = {
    "cuda": ("gpu", "nvidia", "nv"),
    "rocm": ("amd", "hip", "radeon", "instinct"),
    "metal": ("mps", "apple", "mac"),
    "cpu": ("host", "x86", "none"),
}
_REMEDY = {
    "cuda": "Install the NVIDIA driver (check with: nvidia-smi)",
    "rocm": "Install the amdgpu driver (check with: ls -l /dev/kfd)",
    "metal": "Metal needs a Mac with Apple silicon and a native (arm64) Python",
}
# What the variables say when they are set: CUDA and ROCm stop at -1, and an empty value hides everything.
_VISIBLE = {"cuda": ("CUDA_VISIBLE_DEVICES",), "rocm": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")}


@dataclass(frozen=True)
class Device:
    """One device, or several GPUs used together. `memory_mib` is their sum; each one's own is in `detail["gpus"]`."""

    kind: str  # one of KINDS
    name: str  # "NVIDIA H100 80GB HBM3", "2 x AMD Instinct MI300X", "Intel Xeon … (2 cores)"
    ids: tuple[str, ...]  # GPU UUIDs in order (cuda), render node names (rocm), ("cpu",), ("metal",)
    memory_mib: float | None
    detail: dict = field(hash=False)  # JSON-serialisable; for cuda and rocm: driver, …, "gpus": one dict per id

    @property
    def key(self) -> str:
        """A name for files and result keys, of [a-z0-9_-] only; several GPUs give one short key."""
        if len(self.ids) == 1:
            return self.lock_keys[0]
        digest = hashlib.sha256(",".join(self.ids).encode()).hexdigest()[:12]
        return f"{self.kind}-{len(self.ids)}x-{digest}"

    @property
    def lock_keys(self) -> tuple[str, ...]:
        """One key per physical device, sorted. To have the device alone, lock them all, in this order (no deadlock)."""
        if self.ids == (self.kind,):
            return (self.kind,)
        return tuple(sorted(f"{self.kind}-{re.sub(r'[^a-z0-9_-]', '_', i.lower())}" for i in self.ids))


@dataclass(frozen=True)
class Found:
    """What detection found of one kind. `reason` says why there is nothing, or what is there but cannot be used."""

    devices: tuple[Device, ...] = ()
    reason: str | None = None
    broken: bool = False  # hardware or a driver is there, but does not work: worth repairing, unlike "absent"


# -- finding -----------------------------------------------------------------------------------------------------------


def detect(nvml=None, host: Host | None = None) -> dict[str, Found]:
    """Look for devices of every kind. `nvml` stands in for the module pynvml. Never raises."""
    host = host or Host()
    return {"cpu": _find_cpu(host), "cuda": _find_cuda(nvml), "rocm": _find_rocm(host), "metal": _find_metal(host)}


def _find_cpu(host: Host) -> Found:
    cores = host.physical_cores()
    name = f"{host.cpu_model() or host.machine} ({cores} core{'s' if cores != 1 else ''})"
    detail = {"threads": host.default_threads(), "features_digest": host.cpu_features_digest()}
    return Found((Device("cpu", name, ("cpu",), host.memory_mib()["total"], detail),))


def _find_metal(host: Host) -> Found:
    if host.system != "Darwin":
        return Found(reason=f"this is {host.system}, and Metal exists on macOS only")
    if host.machine != "arm64":
        return Found(reason="not Apple silicon, or this Python runs under Rosetta (use an arm64 Python)")
    name = host.cpu_model() or "Apple silicon"
    return Found((Device("metal", name, ("metal",), host.memory_mib()["total"], {"unified_memory": True}),))


def _find_cuda(nvml) -> Found:
    if nvml is None:
        try:
            import pynvml as nvml  # noqa: PLC0415 - only now: importing this module must need no GPU library
        except ImportError:
            return Found(reason="the Python package nvidia-ml-py is not installed", broken=True)
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


def _explain_nvml(nvml, error) -> Found:
    reasons = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver: libnvidia-ml.so not found",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed, but its kernel module is not loaded",
        nvml.NVML_ERROR_NO_PERMISSION: "no permission to open the NVIDIA device files (/dev/nvidia*)",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was updated: library and kernel module differ "
        "(reboot)",
    }
    reason = reasons.get(error.value, f"NVML says: {error}")
    return Found(reason=reason, broken=error.value != nvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def _list_cuda(nvml) -> Found:
    def ask(function: str, *arguments):
        """One NVML reading; None where this GPU or driver cannot tell. Old releases of pynvml return bytes."""
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
            "mig": mig,  # None, "parent" (split up: its instances are what can be used) or "instance"
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
        return Found(reason="the NVIDIA driver works but lists no GPU", broken=True)
    return Found(tuple(devices), "; ".join(problems) or None, broken=bool(problems))


def _find_rocm(host: Host) -> Found:
    """GPUs among the nodes of the kernel's compute topology; ROCr numbers them in the same order."""
    if not host.path("/dev/kfd").exists():
        return Found(reason="no AMD GPU driver: /dev/kfd not found")
    driver = host.read("/sys/module/amdgpu/version")  # only the out-of-tree driver has one
    devices = []
    for node in host.glob("/sys/class/kfd/kfd/topology/nodes/*"):
        values = dict(line.split(" ", 1) for line in (host.read(node / "properties") or "").splitlines() if " " in line)
        minor, version = values.get("drm_render_minor", "0"), int(values.get("gfx_target_version", "0"))
        if minor in ("0", "-1") or values.get("simd_count", "0") == "0":
            continue  # a CPU is a node too; a GPU without a render node cannot be used
        render = f"renderD{minor}"
        # 90402 → gfx942, 90010 → gfx90a: major in decimal, minor and stepping as one hexadecimal digit each
        arch = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}" if version else None
        # Heap types 1 and 2 are the GPU's own memory (HSA_MEM_HEAP_TYPE_FB_PUBLIC and _PRIVATE).
        banks = [host.read(bank) or "" for bank in host.glob(str(node.relative_to(host.root) / "mem_banks/*/properties"))]
        own = [re.search(r"size_in_bytes (\d+)", bank) for bank in banks if re.search(r"heap_type [12]\b", bank)]
        size = sum(int(match[1]) for match in own if match)
        size = size or host.number(f"/sys/class/drm/{render}/device/mem_info_vram_total")
        gpu = {
            "index": str(len(devices)),
            "render_node": f"/dev/dri/{render}",
            "name": host.read(f"/sys/class/drm/{render}/device/product_name") or f"AMD GPU {arch or render}",
            "memory_mib": size / MIB if size else None,
            "arch": arch,
        }
        devices.append(Device("rocm", gpu["name"], (render,), gpu["memory_mib"], {"driver": driver, "gpus": [gpu]}))
    if not devices:
        return Found(reason="/dev/kfd is there, but the kernel lists no GPU that can compute", broken=True)
    return Found(tuple(devices))


# -- choosing ----------------------------------------------------------------------------------------------------------


def choose(
    requested: str,
    gpus: str | None,
    say: Callable[[str], None],
    *,
    found: dict[str, Found] | None = None,
    env: Mapping[str, str] | None = None,
) -> Device:
    """The device to measure on.

    `requested` is "auto" or one of KINDS; `gpus` is a comma list of indices, UUIDs or beginnings of UUIDs (render
    node names on AMD). Without `gpus`, CUDA_VISIBLE_DEVICES (or its ROCm counterparts) counts as if it had been given;
    without either, the first GPU is taken. `say` gets one line that tells what was taken and why.
    Raises UserError where nothing suits.
    """
    if requested != "auto" and requested not in KINDS:
        raise UserError(f"unknown device '{requested}': choose one of {', '.join(_closest(requested))}")
    if gpus is not None and requested in ("cpu", "metal"):
        raise UserError(f"--gpus {gpus} has no meaning with --device {requested}: leave it out, or use --device cuda")
    found = detect() if found is None else found
    env = os.environ if env is None else env

    if requested != "auto":
        device, why = _take(requested, gpus, found[requested], env)
        if device is None:
            raise UserError(f"--device {requested}: {why}. {_REMEDY[requested]}, or use --device auto")
        say(f"Device: {requested} - {device.name}{why}")
        return device

    missing = []
    for kind in PREFERENCE if gpus is None else PREFERENCE[:2]:
        device, why = _take(kind, gpus, found[kind], env)
        if device is not None:
            # Metal's absence is news only on a Mac, where it was to be expected.
            others = [m for m in missing if "macOS only" not in m]
            say(f"Device: {kind} - {device.name}{why}" + (f" ({'; '.join(others)})" if others else ""))
            return device
        missing.append(f"no {kind}: {why}")
    raise UserError(f"--gpus {gpus}, but {'; '.join(missing)}. Leave --gpus out to measure on the CPU")


def _closest(word: str) -> list[str]:
    """Every valid device word, the likeliest first."""
    word = word.lower()
    names = {name: kind for kind, aliases in _ALIASES.items() for name in (kind, *aliases)} | {"auto": "auto"}
    likely = [names[match] for match in difflib.get_close_matches(word, names, n=3, cutoff=0.5)]
    return list(dict.fromkeys([*likely, *PREFERENCE, "auto"]))


def _take(kind: str, gpus: str | None, found: Found, env: Mapping[str, str]) -> tuple[Device | None, str]:
    """The device of this kind and a remark on how it was picked, or None and why there is none."""
    if not found.devices:
        return None, found.reason or f"no {TITLES[kind]} found"
    if kind not in _VISIBLE:
        return found.devices[0], ""
    visible = {_gpu(device)["index"]: device for device in found.devices}
    if gpus is not None:
        return _together(_select(gpus, visible, "--gpus")), f" (--gpus {gpus})"
    remark = ""
    for name in _VISIBLE[kind]:
        if (value := env.get(name)) is None:
            continue
        if value.split(",")[0].strip() in ("", "-1"):
            return None, f"{name}={value!r} hides every GPU (unset it, or name the GPUs with --gpus)"
        chosen = _select(value, visible, name)
        visible = {str(i): device for i, device in enumerate(chosen)}  # HIP counts within what ROCR left visible
        remark += f" ({name}={value})"
    if remark:
        return _together(list(visible.values())), remark
    usable = [device for device in visible.values() if _gpu(device)["mig" if kind == "cuda" else "arch"] != "parent"]
    if not usable:
        return None, "every NVIDIA GPU is in MIG mode and has no instance (make one: nvidia-smi mig -cgi …)"
    if len(usable) > 1:
        remark = f" (the first of {len(usable)} GPUs; others: --gpus {','.join(_gpu(d)['index'] for d in usable[1:3])})"
    return usable[0], remark


def _gpu(device: Device) -> dict:
    return device.detail["gpus"][0]


def _select(text: str, visible: dict[str, Device], source: str) -> list[Device]:
    """Devices named by a comma list of indices, ids, or unambiguous beginnings of ids, in the order named."""
    listed = ", ".join(f"{index} ({device.ids[0]})" for index, device in visible.items())
    chosen: list[Device] = []
    for word in [part.strip() for part in text.split(",")]:
        if word in visible:
            matches = [visible[word]]
        elif re.fullmatch(r"-?\d+", word) or not word:
            matches = []
        else:
            # "3f2a…" is accepted for "GPU-3f2a…": tools print UUIDs with and without the prefix
            starts = tuple(prefix + word.lower() for prefix in ("", "gpu-", "mig-"))
            matches = [d for d in visible.values() if d.ids[0].lower().startswith(starts)]
            exact = [d for d in matches if d.ids[0].lower() in starts]
            matches = exact or matches
        if not matches:
            raise UserError(f"{source} {text}: there is no GPU '{word}'; there is: {listed}")
        if len(matches) > 1:
            raise UserError(f"{source} {text}: '{word}' fits several GPUs, give more of it; there is: {listed}")
        if _gpu(matches[0]).get("mig") == "parent":
            inside = [f"{i} ({d.ids[0]})" for i, d in visible.items() if i.startswith(_gpu(matches[0])["index"] + ":")]
            offer = ", ".join(inside) or "none yet, make one with nvidia-smi mig -cgi …"
            raise UserError(f"{source} {text}: GPU '{word}' is split by MIG, name one of its instances: {offer}")
        if matches[0] in chosen:
            raise UserError(f"{source} {text}: GPU '{word}' is named twice")
        chosen += matches
    return chosen


def _together(devices: list[Device]) -> Device:
    """Several GPUs as one device."""
    if len(devices) == 1:
        return devices[0]
    counts = Counter(device.name for device in devices)
    name = " + ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())
    sizes = [device.memory_mib for device in devices]
    memory = None if None in sizes else sum(size for size in sizes if size)
    detail = {**devices[0].detail, "gpus": [_gpu(device) for device in devices]}
    return Device(devices[0].kind, name, tuple(device.ids[0] for device in devices), memory, detail)


# -- handing over ------------------------------------------------------------------------------------------------------


def _rocm_access(device: Device, host: Host, stat: Callable) -> tuple[list[str], list[str]]:
    """The device nodes to pass on, and the numeric groups that own them.

    Numbers, because "video" and "render" differ between distributions and do not exist inside the container.
    """
    nodes = ["/dev/kfd", *(f"/dev/dri/{name}" for name in device.ids)]
    try:
        groups = {stat(host.path(node)).st_gid for node in nodes}
    except OSError as error:
        missing = "/" + os.path.relpath(error.filename or "/dev/kfd", host.root)
        raise UserError(f"{missing} cannot be read ({error.strerror}). {_REMEDY['rocm']}") from error
    return nodes, [str(group) for group in sorted(groups)]


def docker_options(device: Device, host: Host | None = None, stat: Callable = os.stat) -> dict:
    """What `client.containers.create` of the Docker SDK needs, as keyword arguments, so the container has the device.

    Raises UserError for Metal, which no container reaches.
    """
    if device.kind == "metal":
        raise UserError("containers cannot reach Metal: use --isolation venv")
    if device.kind == "cuda":
        import docker.types  # noqa: PLC0415 - the SDK takes a while to import, and a CPU run has no need of it

        request = docker.types.DeviceRequest(driver="nvidia", device_ids=list(device.ids), capabilities=[["gpu"]])
        return {"device_requests": [request]}
    if device.kind == "rocm":
        nodes, groups = _rocm_access(device, host or Host(), stat)
        return {"devices": [f"{node}:{node}:rwm" for node in nodes], "group_add": groups}
    return {}


def docker_flags(device: Device, host: Host | None = None, stat: Callable = os.stat) -> list[str]:
    """The same as arguments of `docker run`; join them with shlex.join to print them."""
    if device.kind == "cuda":
        value = "device=" + ",".join(device.ids)
        # --gpus is parsed as comma-separated fields: the quotes, which must reach docker, keep the list in one field
        return ["--gpus", f'"{value}"' if len(device.ids) > 1 else value]
    if device.kind == "rocm":
        nodes, groups = _rocm_access(device, host or Host(), stat)
        return [f"--device={node}" for node in nodes] + [f"--group-add={group}" for group in groups]
    docker_options(device)  # refuses what cannot be done
    return []


def venv_environment(device: Device) -> dict[str, str]:
    """Environment variables that confine a process outside any container to the chosen GPUs."""
    if device.kind == "cuda":
        return {"CUDA_VISIBLE_DEVICES": ",".join(device.ids)}
    if device.kind == "rocm":
        indices = [gpu["index"] for gpu in device.detail["gpus"]]
        # HIP counts within what ROCR leaves visible; a HIP variable inherited from the shell would filter once more
        renumbered = ",".join(str(i) for i in range(len(indices)))
        return {"ROCR_VISIBLE_DEVICES": ",".join(indices), "HIP_VISIBLE_DEVICES": renumbered}
    return {}
