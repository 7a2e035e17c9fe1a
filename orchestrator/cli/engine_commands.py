"""The commands about engines: list, build, check, new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click

from orchestrator.base import outcomes
from orchestrator.base.errors import CellError, UserError, unknown
from orchestrator.base.escape import plain
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.cli import command_reference, completion
from orchestrator.cli.options import DEVICE, FORMAT, GPUS, ISOLATION, WAIT
from orchestrator.machine.devices import choose_device
from orchestrator.machine.site import Site
from orchestrator.plan import cells, engine_yaml
from orchestrator.plan.engine import DEVICES, Engine, select_engines
from orchestrator.plan.new_engine import lay_out
from orchestrator.plan.run_plan import find_subject
from orchestrator.report import documents
from orchestrator.report.documents import Sources
from orchestrator.report.tables import support_matrix
from orchestrator.run.session import Setup, open_session
from orchestrator.sandbox.isolation import sandbox_for
from orchestrator.sandbox.prepare import prepare_all


@click.command("list")
@click.option(
    "--device", "-d", default="cpu", show_default=True, shell_complete=completion.kind, help="cpu, cuda, rocm or metal"
)
@click.option("--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True)
@click.option(
    "--update", metavar="[FILE]", is_flag=False, flag_value="", type=str,
    help="write the generated tables and pictures anew, in FILE alone or in README.md and docs/",
)  # fmt: skip
@click.pass_context
def list_command(context: click.Context, device: str, form: str, update: str | None) -> int:
    """Show the engines and what they support.

    \b
    ./benchmark.sh list                         what runs on a CPU, and why the rest does not
    ./benchmark.sh list --device cuda
    ./benchmark.sh list --format json           every engine, variant and device
    ./benchmark.sh list --update                renew what is generated in README.md and docs/
    """
    engines = list(engine_yaml.discover(context.obj.root).values())
    real = [engine for engine in engines if not engine.test_only]
    if update is not None:
        file = Path(update) if update else None
        if file and not file.is_file():
            raise UserError(f"--update: no such file: {file}")
        commands = cast(click.Group, context.find_root().command)
        sources = Sources(context.obj.root, real, command_reference.as_markdown(commands))
        for path in documents.update(sources, file):
            click.echo(path)
        return outcomes.EXIT_OK
    if form == "json":
        click.echo(json.dumps([_as_json(engine) for engine in engines], indent=1))
        return outcomes.EXIT_OK
    if form == "markdown":
        click.echo(support_matrix.markdown(real))
        return outcomes.EXIT_OK
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    click.echo(support_matrix.render(engines, device))
    return outcomes.EXIT_OK


def _as_json(engine: Engine) -> dict[str, Any]:
    return {
        "name": engine.name, "title": engine.title, "version": engine.version, "homepage": engine.homepage,
        "licence": engine.licence, "test_only": engine.test_only, "capabilities": engine.capabilities,
        "devices": {
            kind: {"state": entry.support.state, "version": engine.version_on(kind), "verified": entry.verified}
            for kind, entry in engine.devices.items()
        },
        "variants": {
            variant.name: {
                "precision": variant.precision, "scheme": variant.scheme, "default": variant.default,
                "devices": {kind: vars(engine.support(variant, kind)) for kind in DEVICES},
            }
            for variant in engine.variants.values()
        },
    }  # fmt: skip


@click.command("build")
@click.option(
    "--engines", "-e", "engine_names", default="all", show_default=True, shell_complete=completion.engine,
    help="all, or a list: a,b",
)  # fmt: skip
@DEVICE
@GPUS
@ISOLATION
@FORMAT
@click.pass_obj
def build_command(
    workspace: Workspace, engine_names: str, device: str, gpus: str | None, isolation: str, form: str
) -> int:
    """Only build the images (or virtual environments).

    \b
    ./benchmark.sh build                                     all engines for this machine's device
    ./benchmark.sh build --engines llamacpp,pytorch --device cpu
    ./benchmark.sh build --engines llamacpp --format json    with the commands that repeat it
    """
    progress = Progress()
    chosen = select_engines(engine_names, engine_yaml.discover(workspace.root))
    target = choose_device(device, gpus, progress.say)
    sandbox = sandbox_for(isolation, target, workspace, progress)
    reports: dict[str, dict[str, Any]] = {}
    supported = []
    for engine in chosen:
        entry = engine.devices.get(target.kind)
        if entry is None or not entry.support.runs:
            reason = f"on {target.kind}: {entry.support.note if entry else 'no entry'}"
            reports[engine.name] = {"outcome": "unsupported", "reason": reason}
        else:
            supported.append((engine, target.kind))
    for name, image in prepare_all(sandbox, supported).items():
        if isinstance(image, CellError):
            reports[name] = {"outcome": image.outcome, "reason": image.reason}
        else:
            reports[name] = {"outcome": "ok", "tag": image.tag, "id": image.id, "recipe": list(image.recipe)}
    progress.end()
    ordered = {engine.name: reports[engine.name] for engine in chosen}
    if form == "json":
        click.echo(json.dumps(ordered, indent=1))
    else:
        for name, report in ordered.items():
            failure = f"{report['outcome']}: {report.get('reason')}"
            click.echo(plain(f"{name}: {report['tag'] if report['outcome'] == 'ok' else failure}"))
    return outcomes.exit_code([report["outcome"] for report in ordered.values()])


@click.command("check")
@click.argument("engine_name", metavar="ENGINE", shell_complete=completion.engine)
@DEVICE
@GPUS
@click.option(
    "--model", "-n", default="tiny", show_default=True, shell_complete=completion.model,
    help="tiny, synthetic:<shape>, a directory, or ORG/NAME@REV",
)  # fmt: skip
@click.option(
    "--variants", default="all", show_default=True, shell_complete=completion.variants,
    help="default, all, or a list of names",
)  # fmt: skip
@ISOLATION
@click.option("--architectures", is_flag=True, help="instead: which model architectures it runs, and whether right")
@click.option(
    "--sources",
    is_flag=True,
    help="also look up, in the sources of the packages it pins, what it uses on devices where nobody has run it "
    "(fetches up to 1 GB once; always done where the engine does not run on the device)",
)
@WAIT
@FORMAT
@click.pass_obj
def check_command(
    workspace: Workspace, engine_name: str, device: str, gpus: str | None, model: str, variants: str, isolation: str,
    architectures: bool, sources: bool, wait_s: int, form: str,
) -> int:  # fmt: skip
    """Check that one engine's folder keeps the contract.

    \b
    ./benchmark.sh check llamacpp                           every variant, on the bundled model
    ./benchmark.sh check llamacpp --variants f32,q8_0
    ./benchmark.sh check llamacpp --architectures           one small model of each architecture
    ./benchmark.sh check llamacpp --sources                 and what it uses where nobody has run it
    """
    from orchestrator.answers.check import conformance  # noqa: PLC0415 - only this command needs it
    from orchestrator.answers.check.api_names import check_names  # noqa: PLC0415
    from orchestrator.answers.check.finding import Finding  # noqa: PLC0415
    from orchestrator.answers.check.lock_file import check_lock  # noqa: PLC0415
    from orchestrator.answers.check.model_families import examine_architectures  # noqa: PLC0415

    progress = Progress()
    engines = engine_yaml.discover(workspace.root)
    chosen = select_engines(engine_name, engines)
    target = choose_device(device, gpus, progress.say)
    cells.check_names(chosen, None, variants)
    findings: dict[str, list[Finding]] = {}  # by engine
    with open_session(workspace, target, Setup(isolation, wait_s=wait_s), engines, progress) as bench:
        subject = None if architectures else find_subject(model, workspace.cache, progress.say)
        for engine in chosen:
            if subject is None:
                checks = examine_architectures(engine, bench)
            else:
                checks = conformance.examine(engine, variants, subject, bench)
                entry = engine.devices.get(target.kind)
                with_sources = sources or entry is None or not entry.support.runs
                for kind in engine.unverified(besides=target.kind) if with_sources else ():
                    progress.say(f"reading what {engine.name} pins for {kind} (its wheels are fetched once)")
                    pip = Site.read(workspace.site).pip_environment()
                    checks += [check_lock(engine, kind, pip), *check_names(engine, kind, workspace.cache / "api", pip)]
            findings[engine.name] = checks
            if form == "table":
                click.echo(plain(conformance.render(engine, checks)))
    progress.end()
    if form == "json":
        click.echo(json.dumps({name: [vars(check) for check in checks] for name, checks in findings.items()}, indent=1))
    has_passed = all(check.passed is not False for checks in findings.values() for check in checks)
    return outcomes.EXIT_OK if has_passed else outcomes.EXIT_FAILED


@click.command("new")
@click.argument("engine_name", metavar="NAME")
def new_command(engine_name: str) -> int:
    """Lay out the folder of a new engine, which runs and passes `check` as it is.

    \b
    ./benchmark.sh new mine             writes bench_mine/
    ./benchmark.sh check mine           what the folder must pass, now and whenever it changes
    """
    folder = lay_out(engine_name)
    click.echo(
        f"{folder.name}/ is laid out: its README.md says what to replace; then ./benchmark.sh check {engine_name}"
    )
    return outcomes.EXIT_OK
