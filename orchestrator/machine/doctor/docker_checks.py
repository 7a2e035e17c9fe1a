"""The doctor's checks of Docker: the daemon, its storage driver, control groups."""

from __future__ import annotations

from orchestrator.machine.doctor.diagnosis import Finding
from orchestrator.machine.doctor.surroundings import Machine


def check_docker(machine: Machine) -> tuple[dict | None, Finding]:
    """The content of `docker info`, or None, and the finding about the daemon."""
    try:
        info = machine.docker().info()
    except Exception as error:  # the SDK, requests and the socket raise many types: _why_no_docker sorts them
        return None, _why_no_docker(machine, error)
    return info, Finding("docker", "ok", f"Docker {info.get('ServerVersion', '(unknown version)')} answers")


def _why_no_docker(machine: Machine, error: BaseException) -> Finding:
    """Search the whole chain of causes: the SDK wraps the socket's error several times."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__

    def caused_by(kind: type) -> bool:
        return any(isinstance(cause, kind) for cause in chain)

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
    """Control groups: whether running out of memory ends only the container."""
    if machine.host.system != "Linux":
        return []
    version = machine.host.cgroup_version()
    if info and str(info.get("CgroupVersion") or "").isdigit():
        version = int(info["CgroupVersion"])  # the daemon may run on another machine
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
