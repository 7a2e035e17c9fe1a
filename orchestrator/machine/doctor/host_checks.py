"""The doctor's checks of the host: disk, memory, processor, clock, load, and the tools that builds need."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.machine.doctor.diagnosis import NOTHING_TO_DO, Finding
from orchestrator.machine.doctor.surroundings import NOISY_CORES, Machine

GIB = 1024**3


def check_disk(machine: Machine, info: dict | None) -> list[Finding]:
    """Disk space for the cache folder and for Docker's images."""

    def check_space(check: str, what: str, path: Path, remedy: str) -> Finding:
        existing = path
        while not existing.exists() and existing != existing.parent:  # the folder may not exist yet
            existing = existing.parent
        try:
            free = machine.disk_free(existing) / GIB
        except OSError as error:
            return Finding(check, "warn", f"{what}: {error.strerror}", "check that the folder can be read")
        status = "fail" if free < 5 else "warn" if free < 20 else "ok"
        text = f"{what}: {free:.0f} GiB free" + (
            "" if status == "ok" else " (a full set of images and models needs 20)"
        )
        return Finding(check, status, text, None if status == "ok" else remedy)

    cache = machine.cache.absolute()
    remedy = "free some space, or keep the cache folder on another disk"
    findings = [check_space("disk-cache", str(cache), cache, remedy)]
    root = (info or {}).get("DockerRootDir")
    if root and machine.host.path(root).exists():
        remedy = "remove images that you do not need (docker image ls, docker rmi), or move Docker's data-root"
        findings.append(check_space("disk-docker", root, machine.host.path(root), remedy))
    elif root:
        what = f"{root} cannot be seen from here (the daemon runs in a virtual machine or elsewhere)"
        findings.append(Finding("disk-docker", "absent", what, "see docker system df"))
    return findings


def check_memory(machine: Machine) -> Finding:
    """Available memory, and the control group's limit on it."""
    memory = machine.host.memory_mib()
    total, available = memory["total"], memory["available"]
    if total is None or available is None:
        return Finding("memory", "warn", "cannot be read", "check that /proc/meminfo is readable")
    usable = min(total, memory["limit"] or total) / 1024
    what = f"{available / 1024:.1f} of {total / 1024:.1f} GiB available"
    what += f", limited to {usable:.1f} GiB by a control group" if usable < total / 1024 else ""
    if min(usable, available / 1024) < 4:
        return Finding("memory", "warn", what, "close other programs; keep to models well below the available memory")
    return Finding("memory", "ok", what)


# Instruction set: (its CPU flags on Linux and macOS, the data types it speeds up)
_FEATURES = {
    "AVX2": ({"avx2"}, "float32"),
    "AVX-512": ({"avx512f"}, "float32"),
    "VNNI": ({"avx512_vnni", "avx_vnni"}, "int8 and int4"),
    "BF16": ({"avx512_bf16", "bf16", "arm.FEAT_BF16"}, "bfloat16"),
    "FP16": ({"avx512_fp16", "asimdhp", "arm.FEAT_FP16"}, "float16"),
    "AMX": ({"amx_tile"}, "bfloat16 and int8 prompts"),
    "DOTPROD": ({"asimddp", "arm.FEAT_DotProd"}, "int8 and int4"),
    "I8MM": ({"i8mm", "arm.FEAT_I8MM"}, "int8 prompts"),
    "SVE": ({"sve"}, "float32"),
}


def check_cpu(machine: Machine) -> Finding:
    """The processor and the instruction sets that speed up each precision."""
    host = machine.host
    flags = set(host.cpu_flags() or ())
    cores, threads = host.physical_cores(), host.default_threads()
    name = f"{host.cpu_model() or 'unknown processor'}, {cores} core{'s' if cores > 1 else ''}"
    name += f", {threads} of them within the CPU quota" if threads < cores else ""
    if not flags:
        return Finding(
            "cpu", "warn", f"{name}; its instruction sets cannot be read", "check that /proc/cpuinfo is readable"
        )
    gains = [f"{feature} ({gain})" for feature, (names, gain) in _FEATURES.items() if flags & names]
    what = f"{name}; fast paths: {', '.join(gains) or 'none'}"
    if host.machine in ("x86_64", "AMD64") and "avx2" not in flags:
        remedy = "in a virtual machine, pass the host's CPU through; else expect engines to refuse or to be slow"
        return Finding("cpu", "warn", f"{what}; AVX2, which most prebuilt engines expect, is missing", remedy)
    return Finding("cpu", "ok", what)


def check_governor(machine: Machine) -> Finding:
    """Whether the clock frequency may follow the load."""
    governor = machine.host.governor()
    if governor is None:
        remedy = "nothing to do in a virtual machine; its host decides"
        return Finding("governor", "absent", "no frequency control to be seen", remedy)
    if governor != "performance":
        remedy = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        return Finding("governor", "warn", f"{governor}: the clock follows the load, and results with it", remedy)
    return Finding("governor", "ok", governor)


def check_turbo(machine: Machine) -> Finding:
    """Whether the clock may exceed its base frequency, as far as the temperature allows."""
    turbo = machine.host.turbo()
    if turbo is None:
        return Finding("turbo", "absent", "no turbo switch to be seen", "nothing to do in a virtual machine")
    if turbo:
        intel = machine.host.path("/sys/devices/system/cpu/intel_pstate/no_turbo").exists()
        switch = "1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
        remedy = f"echo {switch if intel else '0 | sudo tee /sys/devices/system/cpu/cpufreq/boost'}"
        what = "on: the clock depends on temperature and on how many cores are busy"
        return Finding("turbo", "warn", what, f"{remedy}, to compare runs of different days")
    return Finding("turbo", "ok", "off: a steady clock")


def check_clock(machine: Machine) -> Finding:
    """The kernel's clock source."""
    source = machine.host.clock_source()
    if source is None:
        return Finding("clock-source", "absent", "not reported by this system", NOTHING_TO_DO)
    # Both are read in user space, without the kernel or a hypervisor; arch_sys_counter is Arm's TSC.
    if source in ("tsc", "arch_sys_counter"):
        return Finding("clock-source", "ok", source)
    file = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    remedy = f"echo tsc | sudo tee {file}; if refused, boot with tsc=reliable"
    return Finding("clock-source", "warn", f"{source}: reading the time is slower and coarser than with tsc", remedy)


def check_load(machine: Machine) -> Finding:
    """CPU load by other processes."""
    cores, busiest = machine.load()
    names = f" ({', '.join(busiest)})" if busiest else ""
    if cores > NOISY_CORES:
        what = f"others use {cores:.2f} cores right now{names}"
        return Finding("foreign-load", "warn", what, "stop them, or wait: such launches are flagged noisy_host")
    return Finding("foreign-load", "ok", f"others use {cores:.2f} cores right now")


def check_venv(machine: Machine) -> Finding:
    """Whether this Python can create virtual environments."""
    if machine.has_module("venv") and machine.has_module("ensurepip"):
        return Finding(
            "python-venv", "ok", f"Python {sys.version_info[0]}.{sys.version_info[1]} with venv and ensurepip"
        )
    # Debian's Python lacks ensurepip: `python3 -m venv` fails half-way
    what = "Python cannot make complete virtual environments: ensurepip is missing"
    return Finding("python-venv", "fail", what, machine.install("python3-venv"))


def check_compiler(machine: Machine) -> Finding:
    """The compilers that engines built from source need outside a container."""
    c = next(filter(machine.which, ("cc", "gcc", "clang")), None)
    cxx = next(filter(machine.which, ("c++", "g++", "clang++")), None)
    if c and cxx:
        return Finding("compiler", "ok", f"{c} and {cxx}, for --isolation venv")
    what = "no C and C++ compiler: engines that must be compiled run in containers only"
    mac = machine.host.system == "Darwin"
    return Finding("compiler", "absent", what, "xcode-select --install" if mac else machine.install("g++"))


def check_debootstrap(machine: Machine) -> Finding:
    """debootstrap, which makes a base image if no image registry can be reached."""
    if machine.which("debootstrap"):
        return Finding("debootstrap", "ok", "a base image can be made without an image registry")
    what = "not installed; needed only to make a base image where no image registry can be reached"
    return Finding("debootstrap", "absent", what, machine.install("debootstrap"))
