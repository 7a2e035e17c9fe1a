"""What this host can and cannot do, one finding per check, each with a remedy where something could be better.

Nothing is changed and nothing is installed.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping
from typing import TextIO

from orchestrator import doctor_devices as devices
from orchestrator import doctor_host as host
from orchestrator.detection import detect
from orchestrator.doctor_machine import NOTHING_TO_DO, STATUSES, Finding, Machine

__all__ = ["Finding", "Machine", "examine", "render"]


def examine(machine: Machine | None = None) -> list[Finding]:
    """Run every check, in the order in which they are printed. Takes about two seconds and changes nothing."""
    machine = machine or Machine()
    info, docker = devices.check_docker(machine)
    found = detect(machine.nvml, machine.host)
    return [
        docker,
        *devices.check_storage(info),
        *devices.check_limits(machine, info),
        devices.check_nvidia(machine, found["cuda"]),
        *devices.check_toolkit(machine, info, found["cuda"]),
        devices.check_amd(machine, found["rocm"]),
        *([devices.check_metal(found["metal"])] if machine.host.system == "Darwin" else []),
        *host.check_disk(machine, info),
        host.check_memory(machine),
        host.check_cpu(machine),
        host.check_governor(machine),
        host.check_turbo(machine),
        host.check_clock(machine),
        host.check_load(machine),
        host.check_venv(machine),
        host.check_compiler(machine),
        host.check_debootstrap(machine),
    ]


_COLOURS = {"ok": "32", "warn": "33", "fail": "31", "absent": "90"}


def render(
    findings: list[Finding], stream: TextIO | None = None, env: Mapping[str, str] | None = None, width: int = 100
) -> str:
    """The findings as text of at most `width` columns; coloured only where `stream` is a terminal that takes it."""
    stream, env = stream or sys.stdout, os.environ if env is None else env
    colour = stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    margin = 8 + max((len(finding.check) for finding in findings), default=0) + 2

    def block(text: str, first: str) -> list[str]:
        # Commands are meant to be copied: never split a word at its hyphens, nor one that is too long
        return textwrap.wrap(
            text,
            width,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_on_hyphens=False,
            break_long_words=False,
        )

    lines = []
    for finding in findings:
        wrapped = block(finding.what, f"{finding.status:<8}{finding.check}".ljust(margin))
        if colour:
            head = wrapped[0]
            wrapped[0] = f"\x1b[{_COLOURS[finding.status]}m{head[:8]}\x1b[0m{head[8:]}"
        lines += wrapped
        if finding.remedy and finding.remedy != NOTHING_TO_DO:
            lines += block(finding.remedy, " " * margin + "-> ")
    counts = [f"{sum(f.status == status for f in findings)} {status}" for status in STATUSES]
    return "\n".join([*lines, "", ", ".join(counts)])
