"""The doctor's checks of Docker and of the accelerators: what containers can be given on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.detection import Found
from orchestrator.doctor_machine import NOTHING_TO_DO, Finding, Machine
from orchestrator.host import Host


def check_docker(machine: Machine) -> tuple[dict | None, Finding]:
    """What `docker info` says, or None, and the finding about the daemon."""
    try:
        info = machine.docker().info()
    except Exception as error:  # whatever the SDK, requests or the socket raise: telling them apart is this check
        return None, _why_no_docker(machine, error)
    return info, Finding("docker", "ok", f"Docker {info.get('ServerVersion', '(unknown version)')} answers")


def _why_no_docker(machine: Machine, error: BaseException) -> Finding:
    """The SDK wraps the socket's error several times; the innermost one tells what to do."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__

    def caused_by(kind: type) -> bool:
        return any(isinstance(one, kind) for one in chain)

    mac = machine.host.system == "Darwin"
    if caused_by(ImportError):
        return Finding("docker", "fail", "the Python package docker is not installed", "pip install 'docker>=7.1'")
    if caused_by(PermissionError):
        return Finding(
            "docker",
            "fail",
            "the Docker daemon is there, but its socket refuses this user",
            "sudo usermod -aG docker $USER, then log in again (members of that group are as good as root)",
        )
    if caused_by(FileNotFoundError) and (elsewhere := [s for s in machine.other_sockets if s.exists()]):
        what = "no Docker socket at the usual place, but one of another installation"
        return Finding("docker", "warn", what, f"export DOCKER_HOST=unix://{elsewhere[0]}")
    if caused_by(FileNotFoundError) and not any(map(machine.which, ("docker", "dockerd"))):
        return Finding(
            "docker",
            "absent",
            "Docker is not installed: engines run in virtual environments (--isolation venv)",
            f"{machine.install('docker.io')}, for containers of each engine's own",
        )
    if caused_by(FileNotFoundError) or caused_by(ConnectionRefusedError):
        start = "open -a Docker" if mac else "sudo systemctl start docker (or: sudo service docker start)"
        return Finding("docker", "fail", "Docker is installed, but its daemon is not running", start)
    what = f"the Docker daemon does not answer: {error}"
    return Finding("docker", "fail", what, "check DOCKER_HOST and the daemon's log (journalctl -u docker)")


def check_storage(info: dict | None) -> list[Finding]:
    """How the daemon stores image layers."""
    if info is None:
        return []
    driver = info.get("Driver") or "unknown"
    if driver in ("vfs", "devicemapper", "aufs"):
        what = f"{driver}: " + ("every image layer is a full copy" if driver == "vfs" else "given up by Docker")
        remedy = 'set "storage-driver": "overlay2" in /etc/docker/daemon.json and restart Docker'
        return [Finding("docker-storage", "warn", what, remedy)]
    slow = " (runs in user space: builds are slower; models are bind-mounted and not affected)"
    return [Finding("docker-storage", "ok", driver + (slow if driver == "fuse-overlayfs" else ""))]


def check_limits(machine: Machine, info: dict | None) -> list[Finding]:
    """Control groups: whether a container that runs out of memory is stopped alone."""
    if machine.host.system != "Linux":
        return []
    version = machine.host.cgroup_version()
    if info and str(info.get("CgroupVersion") or "").isdigit():
        version = int(info["CgroupVersion"])  # the daemon's word: it may run elsewhere
    if version == 2:
        findings = [Finding("cgroup", "ok", "version 2")]
    elif version == 1:
        remedy = "boot with systemd.unified_cgroup_hierarchy=1 for version 2; limits work with version 1 too"
        findings = [Finding("cgroup", "warn", "version 1, which distributions are giving up", remedy)]
    else:
        findings = [Finding("cgroup", "fail", "no control groups mounted", "mount them, or use --isolation venv")]
    if info is None:
        return findings
    remedy = "boot with cgroup_enable=memory swapaccount=1 on the kernel command line"
    if not info.get("MemoryLimit"):
        what = "Docker cannot limit memory: an engine that runs out takes the host with it"
        return [*findings, Finding("memory-limit", "fail", what, remedy)]
    if not info.get("SwapLimit") and machine.host.memory_mib()["swap"] != 0:
        what = "memory limits work, swap limits do not: an engine may swap, slowly, instead of failing clearly"
        return [*findings, Finding("memory-limit", "warn", what, f"{remedy}; or sudo swapoff -a")]
    return [*findings, Finding("memory-limit", "ok", "memory and swap of a container can be limited")]


def _display_adapters(host: Host, vendor: str) -> list[str]:
    """PCI addresses of display and 3D controllers of a vendor, whether or not they have a driver."""
    found = []
    for card in host.glob("/sys/bus/pci/devices/*"):
        if host.read(card / "vendor") == vendor and (host.read(card / "class") or "").startswith("0x03"):
            found.append(card.name)
    return found


def check_nvidia(machine: Machine, found: Found) -> Finding:
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
        return Finding("nvidia-driver", "fail", found.reason, f"check with nvidia-smi; reboot, or {install}")
    if cards := _display_adapters(machine.host, "0x10de"):
        what = f"an NVIDIA GPU is in this machine ({', '.join(cards)}), but {found.reason}"
        return Finding("nvidia-driver", "fail", what, install)
    return Finding("nvidia-driver", "absent", found.reason, f"if there is an NVIDIA GPU: {install}")


def check_toolkit(machine: Machine, info: dict | None, found: Found) -> list[Finding]:
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


def check_amd(machine: Machine, found: Found) -> Finding:
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
        return Finding("amd-gpu", "warn", found.reason, install)
    cards = _display_adapters(machine.host, "0x1002")
    # Many desktop processors carry a small AMD GPU that nobody means to compute on: no failure
    what = f"an AMD GPU is in this machine ({', '.join(cards)}), but {found.reason}" if cards else found.reason
    return Finding("amd-gpu", "absent", what, install if cards else f"if there is an AMD GPU: {install}")


def check_metal(found: Found) -> Finding:
    """Apple's GPU."""
    if found.devices:
        return Finding("metal", "ok", f"{found.devices[0].name}, reached with --isolation venv (no container can)")
    return Finding("metal", "absent", found.reason, "on a Mac with Apple silicon, use an arm64 Python")
