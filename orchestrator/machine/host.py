"""Facts about the host: processor, memory, kernel, and whatever else affects a measurement.

A fact that cannot be read is `None`, never a guess. Everything is read through a `Host`, whose root folder, operating
system and command runner tests replace.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from orchestrator.base.version import VERSION

SUITE = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
# cgroup v1 writes the largest page-aligned 64-bit number for "no memory limit".
_UNLIMITED = 1 << 60


def run_quiet(command: list[str]) -> str | None:
    """Standard output of `command`, stripped; None if it is missing, fails, or takes longer than 10 s."""
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


class Host:
    """One machine, as seen from `root` (normally `/`; a fake tree in tests)."""

    def __init__(
        self,
        root: Path = Path("/"),
        system: str | None = None,
        machine: str | None = None,
        affinity: Iterable[int] | None = None,
        command: Callable[[list[str]], str | None] = run_quiet,
    ):
        self.root = Path(root)
        self.system = system or platform.system()  # "Linux", "Darwin"
        self.machine = machine or platform.machine()  # "x86_64", "aarch64", "arm64"
        self.command = command
        self._affinity = None if affinity is None else set(affinity)

    # -- reading ---------------------------------------------------------------------------------------------------

    def path(self, path: str) -> Path:
        """`/proc/meminfo` → the same file below this host's root."""
        return self.root / path.lstrip("/")

    def read(self, path: str | Path) -> str | None:
        """A small text file, stripped; None if it cannot be read or is empty."""
        try:
            return (self.path(path) if isinstance(path, str) else path).read_text(errors="replace").strip() or None
        except OSError:
            return None

    def number(self, path: str | Path) -> int | None:
        """A file that holds one integer; None if it holds anything else."""
        text = self.read(path)
        return int(text) if text and re.fullmatch(r"-?\d+", text) else None

    def glob(self, pattern: str) -> list[Path]:
        """Matching paths in natural order (node2 before node10)."""
        paths = self.root.glob(pattern.lstrip("/"))
        return sorted(paths, key=lambda p: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", str(p))])

    def sysctl(self, name: str) -> str | None:
        """A macOS sysctl value as text."""
        return self.command(["sysctl", "-n", name]) if self.system == "Darwin" else None

    # -- processor -------------------------------------------------------------------------------------------------

    def _cpuinfo(self, *keys: str) -> list[str]:
        """Every value of the first of `keys` that /proc/cpuinfo has (one value per processor)."""
        text = self.read("/proc/cpuinfo") or ""
        for key in keys:
            values = re.findall(rf"^{re.escape(key)}[ \t]*:[ \t]*(.+)$", text, re.MULTILINE)
            if values:
                return [value.strip() for value in values]
        return []

    def cpu_model(self) -> str | None:
        """The processor's name; on Arm Linux, which reports none, the implementer and part numbers."""
        if self.system == "Darwin":
            return self.sysctl("machdep.cpu.brand_string")
        if names := self._cpuinfo("model name", "Model Name"):
            return " ".join(names[0].split())
        implementer, part = self._cpuinfo("CPU implementer"), self._cpuinfo("CPU part")
        return f"Arm processor (implementer {implementer[0]}, part {part[0]})" if implementer and part else None

    def cpu_flags(self) -> list[str] | None:
        """Instruction-set flags that all cores have in common, sorted."""
        if self.system == "Darwin":
            # Apple silicon has one sysctl per feature: "hw.optional.arm.FEAT_BF16: 1"
            listed = self.command(["sysctl", "hw.optional"]) or ""
            flags = set(re.findall(r"^hw\.optional\.([\w.]+): 1$", listed, re.MULTILINE))
        else:
            per_cpu = [set(line.split()) for line in self._cpuinfo("flags", "Features")]
            flags = set.intersection(*per_cpu) if per_cpu else set()
        return sorted(flags) or None

    def cpu_features_digest(self) -> str:
        """12 hex digits: code compiled for a processor of another digest may not run here, or not as fast."""
        text = "\n".join([self.machine, self.cpu_model() or "", *(self.cpu_flags() or [])])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def affinity(self) -> set[int] | None:
        """Logical processors that this process may run on; None if the system has no CPU affinity (macOS)."""
        if self._affinity is not None:
            return self._affinity
        return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None

    def physical_cores(self) -> int:
        """Physical cores that the affinity mask reaches, at least 1. Hyper-threads of one core count once."""
        usable = self.affinity()
        if usable is None:
            return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
        cores = set()
        for cpu in usable:
            siblings = self.read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
            cores.add(siblings or f"cpu{cpu}")  # without topology each processor counts as a core
        return max(1, len(cores))

    def cpu_quota(self) -> float | None:
        """The control group's CPU quota (cgroup v1 or v2), in processors; None if it sets no limit."""
        quotas = []
        for folder in self._cgroup_folders("cpu"):
            if limit := re.fullmatch(r"(\d+) (\d+)", self.read(folder / "cpu.max") or ""):
                quotas.append(int(limit[1]) / int(limit[2]))
            quota, period = self.number(folder / "cpu.cfs_quota_us"), self.number(folder / "cpu.cfs_period_us")
            if quota and period and quota > 0:
                quotas.append(quota / period)
        return min(quotas, default=None)

    def default_threads(self) -> int:
        """Threads for an engine that computes on the CPU: one per physical core, at most the CPU quota."""
        cores, quota = self.physical_cores(), self.cpu_quota()
        return cores if quota is None else max(1, min(cores, int(quota)))

    def cache_kib(self) -> dict[str, int] | None:
        """Cache sizes of the first processor: {"L1d": 48, "L1i": 32, "L2": 2048, "L3": 36864} KiB."""
        sizes: dict[str, int] = {}
        if self.system == "Darwin":
            for name, key in {"L1d": "hw.l1dcachesize", "L1i": "hw.l1icachesize", "L2": "hw.l2cachesize"}.items():
                if (value := self.sysctl(key) or "").isdigit():
                    sizes[name] = int(value) // 1024
        for index in self.glob("/sys/devices/system/cpu/cpu0/cache/index*"):
            size = re.fullmatch(r"(\d+)([KM])", self.read(index / "size") or "")
            level, kind = self.read(index / "level"), self.read(index / "type") or ""
            if size and level:
                name = f"L{level}" + {"Data": "d", "Instruction": "i"}.get(kind, "")
                sizes[name] = int(size[1]) * (1024 if size[2] == "M" else 1)
        return sizes or None

    def governor(self) -> str | None:
        """The frequency governor; several joined by a comma when cores differ."""
        files = self.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
        return ",".join(sorted({name for file in files if (name := self.read(file))})) or None

    def turbo(self) -> bool | None:
        """Whether the processor may exceed its base clock frequency."""
        no_turbo = self.number("/sys/devices/system/cpu/intel_pstate/no_turbo")
        if no_turbo is not None:
            return no_turbo == 0
        boost = self.number("/sys/devices/system/cpu/cpufreq/boost")
        return None if boost is None else boost == 1

    def clock_source(self) -> str | None:
        """The kernel's clock source: tsc, hpet, kvm-clock, arch_sys_counter…"""
        return self.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")

    def virtualised(self) -> bool | None:
        """Whether this is a virtual machine. On x86 every hypervisor sets a CPU flag."""
        if self.system == "Darwin":
            return {"0": False, "1": True}.get(self.sysctl("kern.hv_vmm_present") or "")
        flags = self.cpu_flags()
        if flags and self.machine in ("x86_64", "AMD64", "i686"):
            return "hypervisor" in flags
        return True if self.path("/proc/device-tree/hypervisor").exists() else None

    # -- memory and control groups ---------------------------------------------------------------------------------

    def memory_mib(self) -> dict[str, float | None]:
        """Total, available and swap in MiB, and the control group's limit (None: no limit)."""
        limits: list[float] = []
        values: dict[str, float | None]
        for folder in self._cgroup_folders("memory"):
            for name in ("memory.max", "memory.limit_in_bytes"):
                limit = self.number(folder / name)
                if limit is not None and limit < _UNLIMITED:
                    limits.append(limit / MIB)
        if self.system == "Darwin":
            now, swap = psutil.virtual_memory(), psutil.swap_memory()
            values = {"total": now.total / MIB, "available": now.available / MIB, "swap": swap.total / MIB}
        else:
            info = dict(re.findall(r"^(\w+):\s+(\d+) kB", self.read("/proc/meminfo") or "", re.MULTILINE))
            keys = {"total": "MemTotal", "available": "MemAvailable", "swap": "SwapTotal"}
            values = {name: int(info[key]) / 1024 if key in info else None for name, key in keys.items()}
        return {**values, "limit": min(limits, default=None)}

    def cgroup_version(self) -> int | None:
        """2, 1 (also if both are mounted: v1 has the controllers then), or None without control groups."""
        base = self.path("/sys/fs/cgroup")
        if (base / "cgroup.controllers").exists():
            return 2
        return 1 if (base / "memory").is_dir() or (base / "cpu").is_dir() else None

    def _cgroup_folders(self, controller: str) -> list[Path]:
        """This process's control group and its parents, innermost first: any of them may set the lowest limit."""
        version, own = self.cgroup_version(), self.read("/proc/self/cgroup") or ""
        if version is None:
            return []
        base, inner = self.path("/sys/fs/cgroup"), "/"
        for line in own.splitlines():
            _, names, path = [*line.split(":", 2), "", ""][:3]
            if names == "" if version == 2 else controller in names.split(","):
                inner = path
                if version == 1 and (base / names).is_dir():
                    base = base / names
        if version == 1 and base == self.path("/sys/fs/cgroup"):
            base = base / controller
        folders = [base]
        # Inside a container this may be the host's path, which does not exist here.
        for part in [p for p in inner.split("/") if p not in ("", "..")]:
            folders.append(folders[-1] / part)
        return [folder for folder in reversed(folders) if folder.is_dir()]

    # -- system and suite ------------------------------------------------------------------------------------------

    def os_name(self) -> str | None:
        """ "Debian GNU/Linux 12 (bookworm)", "macOS 15.1"…"""
        if self.system == "Darwin":
            version = self.command(["sw_vers", "-productVersion"])
            return f"macOS {version}" if version else None
        release = self.read("/etc/os-release") or self.read("/usr/lib/os-release") or ""
        name = re.search(r"^PRETTY_NAME=(.+)$", release, re.MULTILINE)
        return name[1].strip("\"'") if name else None

    def git_state(self, folder: Path = SUITE) -> dict[str, str | bool | None]:
        """The suite's commit, and whether files differ from it. Both None outside a git checkout of its own."""
        top = self.command(["git", "-C", str(folder), "rev-parse", "--show-toplevel"])
        # Inside another repository, git would report that one's commit.
        if not top or Path(top).resolve() != Path(folder).resolve():
            return {"commit": None, "dirty": None}
        commit = self.command(["git", "-C", str(folder), "rev-parse", "HEAD"])
        status = self.command(["git", "-C", str(folder), "status", "--porcelain"])
        return {"commit": commit, "dirty": None if status is None else status != ""}

    def facts(self) -> dict:
        """Everything above, JSON-serialisable, for the `environment` of a result. Sizes in MiB or KiB as named."""
        memory = self.memory_mib()
        return {
            "cpu_model": self.cpu_model(),
            "cpu_flags": self.cpu_flags(),
            "cpu_features_digest": self.cpu_features_digest(),
            "architecture": self.machine,
            "physical_cores": self.physical_cores(),
            "logical_cpus": len(self.affinity() or ()) or psutil.cpu_count(),
            "cpu_quota": self.cpu_quota(),
            "default_threads": self.default_threads(),
            "cache_kib": self.cache_kib(),
            "governor": self.governor(),
            "turbo": self.turbo(),
            "clock_source": self.clock_source(),
            "virtualised": self.virtualised(),
            "memory_total_mib": memory["total"],
            "memory_available_mib": memory["available"],
            "memory_limit_mib": memory["limit"],
            "swap_mib": memory["swap"],
            "cgroup_version": self.cgroup_version(),
            "os": self.os_name(),
            "kernel": platform.release() or None,
            "python": ".".join(map(str, sys.version_info[:3])),
            "suite": {"version": VERSION, **self.git_state()},
        }


def facts() -> dict:
    """`Host.facts` of the machine that this runs on."""
    return Host().facts()


def default_threads() -> int:
    """`Host.default_threads` of the machine that this runs on."""
    return Host().default_threads()


def cpu_features_digest() -> str:
    """`Host.cpu_features_digest` of the machine that this runs on."""
    return Host().cpu_features_digest()
