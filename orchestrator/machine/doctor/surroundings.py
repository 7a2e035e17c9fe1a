"""What the doctor's checks ask, and what they answer.

Whatever touches the system is a field of `Machine`, so that the tests examine machines that do not exist.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from orchestrator.base.paths import ROOT, Workspace
from orchestrator.machine.host import Host

NOISY_CORES = 0.05  # foreign work above 5 % of one core marks an iteration as disturbed


def connect_docker():
    """A client of the Docker daemon that the environment names. Raises what the SDK raises."""
    import docker  # noqa: PLC0415 - takes a while; `doctor` must also work where it is missing

    return docker.from_env(timeout=10)


def foreign_load(seconds: float = 1.0) -> tuple[float, list[str]]:
    """Cores kept busy by everybody but this process, over `seconds`, and the busiest processes by name."""

    def processes() -> dict[int, tuple[str, float]]:
        seen = {}
        for process in psutil.process_iter(["pid", "name", "cpu_times"]):
            times = process.info["cpu_times"]
            if times is not None and process.info["pid"] != os.getpid():  # None: not ours to look at (macOS)
                seen[process.info["pid"]] = (process.info["name"] or "?", times.user + times.system)
        return seen

    def busy() -> float:
        # Steal (time that the hypervisor gave to others) disturbs as much as a process of our own would.
        now = psutil.cpu_times()
        return sum(getattr(now, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))

    # Listing the processes is work of ours: it lies outside the interval, and our own time is taken off in any case.
    before = processes()
    start, busy_start, own_start = time.monotonic(), busy(), time.process_time()
    time.sleep(seconds)
    span, foreign = time.monotonic() - start, busy() - busy_start - (time.process_time() - own_start)
    after = processes()
    # By number alone: a kernel worker changes its name with every piece of work
    used = {pid: spent - before.get(pid, ("", 0.0))[1] for pid, (_, spent) in after.items()}
    top = [pid for pid in sorted(used, key=lambda pid: used[pid], reverse=True)[:3] if used[pid] / span > NOISY_CORES]
    return max(0.0, foreign / span), [f"{after[pid][0]} (pid {pid})" for pid in top]


def _other_sockets() -> tuple[Path, ...]:
    """Where Docker Desktop and a rootless Docker put their socket; the SDK looks at /var/run/docker.sock only."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path.home() / ".docker/run/docker.sock", *([Path(runtime) / "docker.sock"] if runtime else []))


_PACKAGES = {
    "apt-get": ("sudo apt-get install", {}),
    "dnf": ("sudo dnf install", {"docker.io": "moby-engine", "g++": "gcc gcc-c++", "python3-venv": "python3"}),
    "zypper": ("sudo zypper install", {"docker.io": "docker", "g++": "gcc gcc-c++", "python3-venv": "python3"}),
    "pacman": ("sudo pacman -S", {"docker.io": "docker", "g++": "gcc", "python3-venv": "python"}),
    "brew": ("brew install", {"docker.io": "--cask docker", "g++": "gcc", "python3-venv": "python"}),
}


@dataclass
class Machine:
    """Everything that the examination asks; each field can be replaced by a made-up answer."""

    host: Host = field(default_factory=Host)
    nvml: object = None  # None: the real pynvml
    docker: Callable = connect_docker
    cache: Path = field(default_factory=lambda: Workspace.of_checkout().cache)
    root: Path = ROOT  # of the checkout
    other_sockets: tuple[Path, ...] = field(default_factory=_other_sockets)
    which: Callable[[str], str | None] = shutil.which
    access: Callable[[Path, int], bool] = os.access
    disk_free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    load: Callable[[], tuple[float, list[str]]] = foreign_load
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None

    def install(self, package: str) -> str:
        """The command that installs `package` (a Debian name) with this machine's package manager."""
        for tool, (command, names) in _PACKAGES.items():
            if self.which(tool):
                return f"{command} {names.get(package, package)}"
        return f"install {package} (its name on Debian and Ubuntu)"
