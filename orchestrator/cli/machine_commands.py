"""The commands about this machine: what it can do, and how fast its device is."""

from __future__ import annotations

import json

import click

from orchestrator.answers.check.unpinned import check_pins
from orchestrator.base import outcomes
from orchestrator.base.paths import CACHE, ROOT
from orchestrator.base.progress import Progress
from orchestrator.cli.options import DEVICE, FORMAT, GPUS, ISOLATION, THREADS, WAIT
from orchestrator.machine import host
from orchestrator.machine.devices import choose_device
from orchestrator.machine.doctor import examination
from orchestrator.machine.lock import device_lock
from orchestrator.machine.site import Site
from orchestrator.plan import engine_yaml
from orchestrator.report.tables import evidence
from orchestrator.run import baselines
from orchestrator.sandbox.isolation import sandbox_for


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
    target = choose_device(device, gpus, progress.say)
    sandbox = sandbox_for(isolation, target, Site.read(), progress)
    with device_lock(target, CACHE / "locks", wait_s, progress.say):
        found = baselines.limits_alone(
            sandbox, progress, target, threads or host.default_threads(), engine_yaml.discover()
        )
    progress.end()
    click.echo(json.dumps(found, indent=1) if form == "json" else evidence.limits(found))
    return outcomes.EXIT_OK


@click.command("doctor")
@FORMAT
def doctor_command(form: str) -> int:
    """Say what this host can and cannot do, with a remedy for each finding.

    \b
    ./benchmark.sh doctor                       exit code 1 if something fails
    ./benchmark.sh doctor --format json
    """
    findings = [*examination.examine(), check_pins(ROOT)]
    told = json.dumps([vars(finding) for finding in findings], indent=1)
    click.echo(told if form == "json" else examination.render(findings))
    return outcomes.EXIT_FAILED if any(finding.status == "fail" for finding in findings) else outcomes.EXIT_OK


COMMANDS = (limits_command, doctor_command)
