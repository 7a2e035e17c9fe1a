"""The doctor's checks of the accelerators and of what lets containers use them."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.machine.detect import Detection
from orchestrator.machine.doctor.diagnosis import NOTHING_TO_DO, Finding
from orchestrator.machine.doctor.surroundings import Machine
from orchestrator.machine.host import Host


def _display_adapters(host: Host, vendor: str) -> list[str]:
    """PCI addresses of display and 3D controllers of a vendor, whether or not they have a driver."""
    found = []
    for card in host.glob("/sys/bus/pci/devices/*"):
        if host.read(card / "vendor") == vendor and (host.read(card / "class") or "").startswith("0x03"):
            found.append(card.name)
    return found


def check_nvidia(machine: Machine, found: Detection) -> Finding:
    """The NVIDIA driver and what it sees; a card without a driver is a failure, no card is not."""
    whole = [d for d in found.devices if d.detail["gpus"][0]["mig"] != "instance"]
    if whole:
        names = ", ".join(d.name for d in whole)
        detail = whole[0].detail
        what = f"{len(whole)} GPU{'s' if len(whole) > 1 else ''}: {names}; driver {detail['driver'] or 'unknown'}"
        what += f", CUDA up to {detail['cuda']}" if detail["cuda"] else ""
        if found.reason:  # some are there, and something is wrong with others
            return Finding("nvidia-driver", "warn", f"{what}; {found.reason}", "check with nvidia-smi and dmesg")
        return Finding("nvidia-driver", "ok", what)
    install = "install the NVIDIA driver (Ubuntu: sudo ubuntu-drivers install), then check with nvidia-smi"
    if found.broken:
        return Finding("nvidia-driver", "fail", found.why, f"check with nvidia-smi; reboot, or {install}")
    if cards := _display_adapters(machine.host, "0x10de"):
        what = f"an NVIDIA GPU is in this machine ({', '.join(cards)}), but {found.reason}"
        return Finding("nvidia-driver", "fail", what, install)
    return Finding("nvidia-driver", "absent", found.why, f"if there is an NVIDIA GPU: {install}")


def check_toolkit(machine: Machine, info: dict | None, found: Detection) -> list[Finding]:
    """Whether the daemon can hand an NVIDIA GPU to a container."""
    name = "nvidia-toolkit"
    if not found.devices:
        return [Finding(name, "absent", "not needed without a working NVIDIA GPU", NOTHING_TO_DO)]
    if info is None:
        return [Finding(name, "absent", "unknown until Docker answers", "see the finding about docker")]
    if "nvidia" in (info.get("Runtimes") or {}):
        return [Finding(name, "ok", "the NVIDIA Container Toolkit is known to Docker as a runtime")]
    if machine.which("nvidia-container-runtime-hook"):
        return [Finding(name, "ok", "the NVIDIA Container Toolkit is installed")]
    folders = [Path(folder) for folder in info.get("CDISpecDirs") or []]
    specs = [
        p for d in folders for p in machine.host.glob(f"{d}/*") if "nvidia.com/gpu" in (machine.host.read(p) or "")
    ]
    configure = "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
    if specs:
        major = str(info.get("ServerVersion") or "").split(".")[0]
        # moby PR 50228: from release 29 on a plain GPU request is served through CDI where there is no runtime
        if major.isdigit() and int(major) >= 29:
            return [Finding(name, "ok", f"GPUs are known to Docker through CDI ({specs[0].name})")]
        what = f"GPUs are described for CDI ({specs[0].name}), but this Docker may be too old to use that by itself"
        return [Finding(name, "warn", what, configure)]
    what = "an NVIDIA GPU is there, but containers cannot have it: no NVIDIA Container Toolkit"
    return [Finding(name, "fail", what, f"{machine.install('nvidia-container-toolkit')} && {configure}")]


def check_amd(machine: Machine, found: Detection) -> Finding:
    """AMD GPUs, and whether this user may open their device nodes (a container's daemon always may)."""
    if found.devices:
        names = ", ".join(device.name for device in found.devices)
        nodes = ["/dev/kfd", *(f"/dev/dri/{device.ids[0]}" for device in found.devices)]
        closed = [n for n in nodes if not machine.access(machine.host.path(n), os.R_OK | os.W_OK)]
        if closed:
            what = f"{names}; this user may not open {', '.join(closed)}"
            return Finding("amd-gpu", "warn", what, "sudo usermod -aG render,video $USER, then log in again")
        return Finding("amd-gpu", "ok", names)
    install = "install the amdgpu driver with ROCm support (rocm.docs.amd.com), then check with ls -l /dev/kfd"
    if found.broken:
        return Finding("amd-gpu", "warn", found.why, install)
    cards = _display_adapters(machine.host, "0x1002")
    # Many desktop processors carry a small AMD GPU that nobody means to compute on: no failure
    what = f"an AMD GPU is in this machine ({', '.join(cards)}), but {found.reason}" if cards else found.why
    return Finding("amd-gpu", "absent", what, install if cards else f"if there is an AMD GPU: {install}")


def check_metal(found: Detection) -> Finding:
    """Apple's GPU."""
    if found.devices:
        return Finding("metal", "ok", f"{found.devices[0].name}, reached with --isolation venv (no container can)")
    return Finding("metal", "absent", found.why, "on a Mac with Apple silicon, use an arm64 Python")
