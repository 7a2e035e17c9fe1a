"""What this host and this checkout can and cannot do, one finding per check. Nothing is changed or installed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TextIO

from rich.text import Text

from orchestrator.base.escape import plain
from orchestrator.base.terminal import WIDTH, console
from orchestrator.machine.detect import detect
from orchestrator.machine.doctor import accelerator_checks, docker_checks, host_checks
from orchestrator.machine.doctor.diagnosis import NOTHING_TO_DO, STATUSES, Finding
from orchestrator.machine.doctor.surroundings import Machine

__all__ = ["Finding", "Machine", "examine", "render"]


def examine(machine: Machine | None = None) -> list[Finding]:
    """Run every check, in the order of printing. Takes about two seconds and changes nothing."""
    machine = machine or Machine()
    info, docker = docker_checks.check_docker(machine)
    detections = detect(machine.nvml, machine.host)
    return [
        docker,
        *docker_checks.check_storage(info),
        *docker_checks.check_limits(machine, info),
        accelerator_checks.check_nvidia(machine, detections["cuda"]),
        *accelerator_checks.check_toolkit(machine, info, detections["cuda"]),
        accelerator_checks.check_amd(machine, detections["rocm"]),
        *([accelerator_checks.check_metal(detections["metal"])] if machine.host.system == "Darwin" else []),
        *host_checks.check_disk(machine, info),
        host_checks.check_memory(machine),
        host_checks.check_cpu(machine),
        host_checks.check_governor(machine),
        host_checks.check_turbo(machine),
        host_checks.check_clock(machine),
        host_checks.check_load(machine),
        host_checks.check_venv(machine),
        host_checks.check_compiler(machine),
        host_checks.check_debootstrap(machine),
    ]


_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "absent": "bright_black"}


def render(
    findings: list[Finding], stream: TextIO | None = None, env: Mapping[str, str] | None = None, width: int = WIDTH
) -> str:
    """The findings as text of at most `width` columns; coloured only if `stream` is a terminal with colours."""
    margin = 8 + max((len(finding.check) for finding in findings), default=0) + 2

    def block(text: str, first: str) -> list[str]:
        # Commands get copied: break lines at spaces only
        return textwrap.wrap(
            text,
            width,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_on_hyphens=False,
            break_long_words=False,
        )

    lines: list[Text] = []
    for finding in findings:
        head, *rest = block(plain(finding.what), f"{finding.status:<8}{finding.check}".ljust(margin))
        first = Text(head)
        first.stylize(_STYLES[finding.status], 0, len(finding.status))
        lines += [first, *map(Text, rest)]
        if finding.remedy and finding.remedy != NOTHING_TO_DO:
            lines += map(Text, block(plain(finding.remedy), " " * margin + "-> "))
    counts = [f"{sum(f.status == status for f in findings)} {status}" for status in STATUSES]
    lines += [Text(), Text(", ".join(counts))]
    screen = console(stream, env, width)
    with screen.capture() as printed:
        screen.print(Text("\n").join(lines), soft_wrap=True)
    return printed.get().rstrip("\n")
