"""The doctor's checks of the accelerators and of containers' access to them."""

from __future__ import annotations

import os

from orchestrator.machine.detect import Detection
from orchestrator.machine.doctor.diagnosis import NOTHING_TO_DO, Finding
from orchestrator.machine.doctor.surroundings import Machine
from orchestrator.machine.host import Host


def _display_adapters(host: Host, vendor: str) -> list[str]:
    """PCI addresses of display and 3D controllers of a vendor, whether or not they have a driver."""
    addresses = []
    for card in host.glob("/sys/bus/pci/devices/*"):
        if host.read(card / "vendor") == vendor and (host.read(card / "class") or "").startswith("0x03"):
            addresses.append(card.name)
    return addresses


def check_nvidia(machine: Machine, detection: Detection) -> Finding:
    """The NVIDIA driver and its GPUs. A card without a driver is a failure; having no card is not."""
    gpus = [gpu for gpu in detection.devices if gpu.detail["gpus"][0]["mig"] != "instance"]
    if gpus:
        names = ", ".join(gpu.name for gpu in gpus)
        detail = gpus[0].detail
        what = f"{len(gpus)} GPU{'s' if len(gpus) > 1 else ''}: {names}; driver {detail['driver'] or 'unknown'}"
        what += f", CUDA up to {detail['cuda']}" if detail["cuda"] else ""
        if detection.reason:  # some GPUs work, others do not
            return Finding("nvidia-driver", "warn", f"{what}; {detection.reason}", "check with nvidia-smi and dmesg")
        return Finding("nvidia-driver", "ok", what)
    install = "install the NVIDIA driver (Ubuntu: sudo ubuntu-drivers install), then check with nvidia-smi"
    if detection.broken:
        return Finding("nvidia-driver", "fail", detection.why, f"check with nvidia-smi; reboot, or {install}")
    if cards := _display_adapters(machine.host, "0x10de"):
        what = f"an NVIDIA GPU is in this machine ({', '.join(cards)}), but {detection.reason}"
        return Finding("nvidia-driver", "fail", what, install)
    return Finding("nvidia-driver", "absent", detection.why, f"if there is an NVIDIA GPU: {install}")


def check_toolkit(machine: Machine, info: dict | None, detection: Detection) -> list[Finding]:
    """Whether the Docker daemon can give a container an NVIDIA GPU."""
    name = "nvidia-toolkit"
    if not detection.devices:
        return [Finding(name, "absent", "not needed without a working NVIDIA GPU", NOTHING_TO_DO)]
    if info is None:
        return [Finding(name, "absent", "unknown until Docker answers", "see the finding about docker")]
    if "nvidia" in (info.get("Runtimes") or {}):
        return [Finding(name, "ok", "the NVIDIA Container Toolkit is known to Docker as a runtime")]
    if machine.which("nvidia-container-runtime-hook"):
        return [Finding(name, "ok", "the NVIDIA Container Toolkit is installed")]
    paths = [path for folder in info.get("CDISpecDirs") or [] for path in machine.host.glob(f"{folder}/*")]
    specs = [path for path in paths if "nvidia.com/gpu" in (machine.host.read(path) or "")]
    configure = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
    if specs:
        major = str(info.get("ServerVersion") or "").split(".")[0]
        # moby PR 50228: since release 29 a plain GPU request falls back to CDI if there is no NVIDIA runtime
        if major.isdigit() and int(major) >= 29:
            return [Finding(name, "ok", f"GPUs are known to Docker through CDI ({specs[0].name})")]
        what = f"GPUs are described for CDI ({specs[0].name}), but this Docker may be too old to use that by itself"
        return [Finding(name, "warn", what, configure)]
    what = "an NVIDIA GPU is there, but containers cannot have it: no NVIDIA Container Toolkit"
    return [Finding(name, "fail", what, f"{machine.install('nvidia-container-toolkit')} && {configure}")]


def check_amd(machine: Machine, detection: Detection) -> Finding:
    """AMD GPUs, and whether this user may open their device nodes (the Docker daemon always may)."""
    if detection.devices:
        names = ", ".join(device.name for device in detection.devices)
        nodes = ["/dev/kfd", *(f"/dev/dri/{device.ids[0]}" for device in detection.devices)]
        closed = [node for node in nodes if not machine.access(machine.host.path(node), os.R_OK | os.W_OK)]
        if closed:
            what = f"{names}; this user may not open {', '.join(closed)}"
            return Finding("amd-gpu", "warn", what, "sudo usermod -aG render,video $USER, then log in again")
        return Finding("amd-gpu", "ok", names)
    install = "install the amdgpu driver with ROCm support (rocm.docs.amd.com), then check with ls -l /dev/kfd"
    if detection.broken:
        return Finding("amd-gpu", "warn", detection.why, install)
    cards = _display_adapters(machine.host, "0x1002")
    # No failure: many desktop processors include a small AMD GPU that is not meant for computing
    what = f"an AMD GPU is in this machine ({', '.join(cards)}), but {detection.reason}" if cards else detection.why
    return Finding("amd-gpu", "absent", what, install if cards else f"if there is an AMD GPU: {install}")


def check_metal(detection: Detection) -> Finding:
    """Apple's GPU."""
    if detection.devices:
        return Finding("metal", "ok", f"{detection.devices[0].name}, reached with --isolation venv (no container can)")
    return Finding("metal", "absent", detection.why, "on a Mac with Apple silicon, use an arm64 Python")
