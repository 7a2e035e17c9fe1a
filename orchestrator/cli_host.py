"""The commands about this machine: what it can do, and how fast its device is."""

from __future__ import annotations

import json

import click

from orchestrator import devices, doctor, engines, host, outcomes, standards, tables
from orchestrator.cli_options import DEVICE, FORMAT, GPUS, ISOLATION, THREADS, WAIT
from orchestrator.isolation import make_sandbox
from orchestrator.locks import device_lock
from orchestrator.paths import CACHE
from orchestrator.progress import Progress
from orchestrator.site import Site


@click.command("limits")
@DEVICE
@GPUS
@THREADS
@ISOLATION
@WAIT
@FORMAT
def limits_command(
    device: str, gpus: str | None, threads: int | None, isolation: str, wait_s: int, form: str
) -> int:  # fmt: skip
    """Measure this device's memory bandwidth and matrix product peaks.

    \b
    ./benchmark.sh limits                       with as many threads as an engine would get
    ./benchmark.sh limits --threads 1 --format json
    """
    progress = Progress()
    target = devices.choose(device, gpus, progress.say)
    sandbox = make_sandbox(isolation, target, Site.read(), progress)
    with device_lock(target, CACHE / "locks", wait_s, progress.say):
        found = standards.limits_alone(sandbox, progress, target, threads or host.default_threads(), engines.discover())
    progress.end()
    click.echo(json.dumps(found, indent=1) if form == "json" else tables.limits(found))
    return outcomes.EXIT_OK


@click.command("doctor")
@FORMAT
def doctor_command(form: str) -> int:
    """Say what this host can and cannot do, with a remedy for each finding.

    \b
    ./benchmark.sh doctor                       exit code 1 if something fails
    ./benchmark.sh doctor --format json
    """
    findings = doctor.examine()
    told = json.dumps([vars(finding) for finding in findings], indent=1)
    click.echo(told if form == "json" else doctor.render(findings))
    return outcomes.EXIT_FAILED if any(finding.status == "fail" for finding in findings) else outcomes.EXIT_OK


COMMANDS = (limits_command, doctor_command)
