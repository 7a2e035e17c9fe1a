"""The commands about this machine: limits, doctor."""

from __future__ import annotations

import json

import click

from orchestrator.answers.check.unpinned import check_pins
from orchestrator.base import outcomes
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.cli.options import DEVICE, FORMAT, GPUS, ISOLATION, THREADS, WAIT
from orchestrator.machine.devices import choose_device
from orchestrator.machine.doctor import examination
from orchestrator.plan import engine_yaml
from orchestrator.report.tables import evidence
from orchestrator.run.baselines import limits_alone
from orchestrator.run.session import Setup, open_session


@click.command("limits")
@DEVICE
@GPUS
@THREADS
@ISOLATION
@WAIT
@FORMAT
@click.pass_obj
def limits_command(
    workspace: Workspace, device: str, gpus: str | None, threads: int | None, isolation: str, wait_s: int, form: str
) -> int:
    """Measure this device's memory bandwidth and matrix product peaks.

    \b
    ./benchmark.sh limits                       with as many threads as an engine would get
    ./benchmark.sh limits --threads 1 --format json
    """
    progress = Progress()
    target = choose_device(device, gpus, progress.say)
    engines = engine_yaml.discover(workspace.root)
    with open_session(workspace, target, Setup(isolation, threads, wait_s), engines, progress) as bench:
        limits = limits_alone(bench)
    progress.end()
    click.echo(json.dumps(limits, indent=1) if form == "json" else evidence.limits(limits))
    return outcomes.EXIT_OK


@click.command("doctor")
@FORMAT
@click.pass_obj
def doctor_command(workspace: Workspace, form: str) -> int:
    """Say what this host can and cannot do, with a remedy for each finding.

    \b
    ./benchmark.sh doctor                       exit code 1 if something fails
    ./benchmark.sh doctor --format json
    """
    machine = examination.Machine(cache=workspace.cache, root=workspace.root)
    findings = [*examination.examine(machine), check_pins(workspace.root)]
    text = json.dumps([vars(finding) for finding in findings], indent=1)
    click.echo(text if form == "json" else examination.render(findings))
    return outcomes.EXIT_FAILED if any(finding.status == "fail" for finding in findings) else outcomes.EXIT_OK
