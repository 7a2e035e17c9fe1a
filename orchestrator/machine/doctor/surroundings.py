"""The system as the doctor's checks see it: every access is a field of `Machine`, so that tests can replace it."""

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

NOISY_CORES = 0.05  # load by others above 5 % of one core marks an iteration as disturbed


def connect_docker():
    """A client of the Docker daemon that the environment names. Raises the SDK's errors."""
    import docker  # noqa: PLC0415 - slow to import, and `doctor` must work without it

    return docker.from_env(timeout=10)


def foreign_load(seconds: float = 1.0) -> tuple[float, list[str]]:
    """CPU load by all other processes, in cores, measured over `seconds`; and the names of the busiest."""

    def processes() -> dict[int, tuple[str, float]]:
        cpu_times = {}
        for process in psutil.process_iter(["pid", "name", "cpu_times"]):
            spent = process.info["cpu_times"]
            if spent is not None and process.info["pid"] != os.getpid():  # None: no permission (macOS)
                cpu_times[process.info["pid"]] = (process.info["name"] or "?", spent.user + spent.system)
        return cpu_times

    def busy() -> float:
        # Steal time (taken by other virtual machines) disturbs as much as a process on this one.
        now = psutil.cpu_times()
        return sum(getattr(now, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))

    # Processes are listed outside the interval; this process's own CPU time is subtracted as well.
    before = processes()
    start, busy_start, own_start = time.monotonic(), busy(), time.process_time()
    time.sleep(seconds)
    span, foreign = time.monotonic() - start, busy() - busy_start - (time.process_time() - own_start)
    after = processes()
    # Matched by PID alone: kernel workers change their names
    used = {pid: spent - before.get(pid, ("", 0.0))[1] for pid, (_, spent) in after.items()}
    top = [pid for pid in sorted(used, key=lambda pid: used[pid], reverse=True)[:3] if used[pid] / span > NOISY_CORES]
    return max(0.0, foreign / span), [f"{after[pid][0]} (pid {pid})" for pid in top]


def _other_sockets() -> tuple[Path, ...]:
    """The sockets of Docker Desktop and of rootless Docker; the SDK tries /var/run/docker.sock only."""
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
    """Access to the system; tests replace fields."""

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
