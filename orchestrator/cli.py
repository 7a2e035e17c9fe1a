"""The command line. Every error is one line that names what to do next."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import docker
from docker.errors import DockerException
from tabulate import tabulate

from orchestrator import (
    devices,
    doctor,
    engines,
    host,
    matrix,
    outcomes,
    plan,
    prompts,
    report,
    run,
    standards,
    summarise,
    tables,
)  # fmt: skip
from orchestrator.cli_results import COMMANDS, check_directory, support_matrix
from orchestrator.docker_sandbox import DockerSandbox
from orchestrator.errors import CellError, UserError
from orchestrator.images import Images
from orchestrator.interruption import terminated_as_interrupt
from orchestrator.locks import device_lock
from orchestrator.models import resolve
from orchestrator.paths import CACHE, RESULTS
from orchestrator.preparation import prepare_all
from orchestrator.progress import Progress
from orchestrator.request import Request, new_seed
from orchestrator.sandbox import Sandbox
from orchestrator.site import Site
from orchestrator.suggest import unknown
from orchestrator.venv_sandbox import VenvSandbox

DEFAULT_ENGINES = "pytorch,llamacpp"
ISOLATIONS = ("auto", "docker", "venv")


class DefaultToRun(click.Group):
    """`./benchmark.sh --engines all` is `./benchmark.sh run --engines all`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h")):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if self.get_command(ctx, args[0]) is None:
            raise unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@click.group(cls=DefaultToRun, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Measure LLM inference engines, each in its own container, and merge what they did.

    Without a command: `run`. Exit codes: 0 all cells ok or unsupported, 1 a cell failed, 2 usage, 3 a regression was
    shown (compare), 4 nothing meets the constraints (choose), 75 device busy, 130 interrupted.

    \b
    ./benchmark.sh                                      PyTorch and llama.cpp on the bundled model, in minutes
    ./benchmark.sh --engines all --device cuda          everything on the GPU
    ./benchmark.sh --engines llamacpp --profile standard --model synthetic:llama-160m
    """


def positive_list(_ctx: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in plan.split(text))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise click.BadParameter("expected whole numbers from 1 on, for example 1,8")
    return tuple(dict.fromkeys(values))


@cli.command("run")
@click.option("--engines", "-e", "engine_names", default=DEFAULT_ENGINES, show_default=True, help="all, or a list: a,b")
@click.option("--device", "-d", default="auto", show_default=True, help="auto, cpu, cuda, rocm or metal")
@click.option("--gpus", help="which GPUs: indices or UUIDs, for example 0,1")
@click.option(
    "--model",
    "-n",
    "--model_name",
    default="tiny",
    show_default=True,
    help="tiny, synthetic:<shape>, a directory, or ORG/NAME@REV",
)
@click.option(
    "--precisions", help="all, or a list: float32,bfloat16,float16,int8,int4  [default: all; quick: float32,int8]"
)
@click.option("--variants", help="default, all, or a list of names  [default: default]")
@click.option("--profile", default="quick", show_default=True, help="quick, standard or publish")
@click.option("--prompt", "-p", help="one prompt text instead of the fixed questions")
@click.option("--prompt-tokens", type=click.IntRange(1), default=128, show_default=True)
@click.option("--new-tokens", "-m", "--max_tokens", type=click.IntRange(2), default=128, show_default=True)
@click.option("--batch-sizes", default="1", show_default=True, callback=positive_list, help="for example 1,8")
@click.option("--launches", type=click.IntRange(1), help="fresh containers per cell  [default: by profile]")
@click.option("--repetitions", "-r", type=click.IntRange(1), help="iterations per launch  [default: by profile]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads  [default: physical cores]")
@click.option("--isolation", default="auto", show_default=True, help="auto, docker or venv")
@click.option("--seed", type=click.IntRange(0), help="of the order of launches  [default: random, recorded]")
@click.option("--timeout", type=click.IntRange(1), default=3600, show_default=True, help="seconds a launch may take")
@click.option(
    "--out", type=click.Path(path_type=Path), help="results directory  [default: results/<time>-<model>-<device>]"
)
@click.option(
    "--quality/--no-quality", "with_quality", default=True, show_default=True,
    help="compare every variant with the float32 reference (builds the reference engine too)",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="continue in --out: launches that are measured already are kept")
def run_command(
    engine_names, device, gpus, model, precisions, variants, profile, prompt, prompt_tokens, new_tokens, batch_sizes,
    launches, repetitions, threads, isolation, seed, timeout, out, with_quality, resume,
) -> int:  # fmt: skip
    """Build, convert, measure, merge and report (the default command)."""
    progress = Progress()
    chosen = engines.select(engine_names, engines.discover())
    if profile not in plan.PROFILES:
        raise unknown("profile", profile, plan.PROFILES)
    setting = plan.PROFILES[profile]
    if precisions is None and variants is None:
        precisions = setting.precisions
    shapes = tuple(plan.Shape(batch, prompt_tokens, new_tokens) for batch in batch_sizes)
    cells = plan.cells(chosen, precisions, variants, shapes)
    target = devices.choose(device, gpus, progress.say)
    check_model_name(model)
    directory = (
        out
        or RESULTS
        / f"{datetime.now():%Y%m%d-%H%M%S}-{model.replace('/', '-').replace(':', '-').strip('.-')}-{target.kind}"
    )
    check_directory(directory, resume)
    site = Site.read()
    sandbox = make_sandbox(isolation, target, site, progress)
    held = device_lock(target, CACHE / "locks")
    if resume and seed is None:
        seed = summarise.seed_of(directory)
    request = Request(
        device=target, model=model, profile=setting, launches=launches or setting.launches,
        repetitions=repetitions or setting.repetitions,
        threads=threads or host.default_threads(), seed=new_seed() if seed is None else seed, prompt=prompt,
        wall_s=timeout, with_quality=with_quality and not all(engine.test_only for engine in chosen),
    )  # fmt: skip
    # A model that is no model is the user's mistake: found out before anything is written. A hub that does not answer
    # is not; it ends the cells.
    resolved = resolve_early(model, progress)
    shapes = fit_shapes(shapes, resolved, prompt)
    if precisions == setting.precisions != "all":
        progress.say(f"precisions: {precisions}; --precisions all measures every column")
    cells = plan.cells(chosen, precisions, variants, shapes)
    uninterrupted = run.Run(request, directory, sandbox, resolved, progress, engines.discover()).go(cells)
    for lock in held:
        lock.close()
    summary = summarise.summarise(directory)
    path = report.write(directory, summary, support_matrix())
    click.echo("\n" + report.terminal(summary))
    click.echo(f"report: {path}")
    if not uninterrupted:
        return outcomes.EXIT_INTERRUPTED
    asked = {(cell.engine.name, cell.variant.name, cell.shape) for cell in cells}
    return outcomes.exit_code([row["outcome"] for row in summary["rows"] if row_identity(row) in asked])


def row_identity(row: dict[str, Any]) -> tuple[str, str, plan.Shape]:
    """A resumed directory may hold rows that this command did not ask for."""
    return row["engine"], row["variant"], plan.Shape(row["batch_size"], row["prompt_tokens"], row["new_tokens"])


def fit_shapes(
    shapes: tuple[plan.Shape, ...], resolved: Callable[[], Any], prompt: str | None
) -> tuple[plan.Shape, ...]:
    """The shapes with the prompt length that --prompt really has. Raises UserError where the model cannot take them."""
    try:
        model = resolved()
    except CellError:
        return shapes  # the run records why there is no model
    if prompt is not None:
        length = len(prompts.make(model, 1, 1, shapes[0].prompt_tokens, prompt)[0][0])
        shapes = tuple(replace(shape, prompt_tokens=length) for shape in shapes)
    positions = model.config.get("max_position_embeddings")
    for shape in shapes:
        if positions and shape.prompt_tokens + shape.new_tokens > positions:
            raise UserError(
                f"{shape.prompt_tokens} prompt + {shape.new_tokens} new tokens exceed the {positions} positions of "
                f"{model.name}: lower --prompt-tokens or --new-tokens"
            )
    return shapes


def check_model_name(model: str) -> None:
    if not model.strip():
        raise UserError("--model is empty: give tiny, synthetic:<shape>, a directory, or ORG/NAME@REV")


def resolve_early(model: str, progress: Progress) -> Callable[[], Any]:
    """Resolve now; UserError is raised at once, CellError is kept for the run to record."""
    try:
        found = resolve(model, CACHE, say=progress.say)
    except CellError as error:
        kept = error

        def fail() -> Any:
            raise kept

        return fail
    return lambda: found


def make_sandbox(isolation: str, target: devices.Device, site: Site, progress: Progress) -> Sandbox:
    """The sandbox that was asked for; `auto` takes Docker when its daemon answers, and says which it took and why."""
    if isolation not in ISOLATIONS:
        raise unknown("isolation", isolation, ISOLATIONS)
    features = host.cpu_features_digest()

    def venv(why: str) -> Sandbox:
        progress.say(f"isolation: one virtual environment per engine ({why})")
        return VenvSandbox(site, target, features, progress)

    if isolation == "venv":
        return venv("as asked")
    if target.kind == "metal":
        if isolation == "docker":
            raise UserError("--isolation docker: containers cannot reach Metal; use --isolation venv")
        return venv("containers cannot reach Metal")
    try:
        client = docker.from_env()
        client.ping()
    except (DockerException, OSError) as error:
        why = str(error).splitlines()[0]
        if isolation == "docker":
            raise UserError(
                f"--isolation docker: the Docker daemon does not answer ({why}); `./benchmark.sh doctor` says what "
                "to do, or use --isolation venv"
            ) from error
        return venv(f"the Docker daemon does not answer: {why}")
    progress.say("isolation: Docker, one container per launch (its daemon answers)")
    return DockerSandbox(client, Images(client, site, progress), target, features)


@cli.command("list")
@click.option("--device", "-d", default="cpu", show_default=True, help="cpu, cuda, rocm or metal")
@click.option("--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True)
@click.option(
    "--update", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="rewrite the matrix in this file"
)
def list_command(device: str, form: str, update: Path | None) -> int:
    """Show the engines and what they support."""
    found = list(engines.discover().values())
    real = [engine for engine in found if not engine.test_only]
    if update:
        try:
            matrix.update(update, real)
        except ValueError as error:
            raise UserError(str(error)) from error
        return 0
    if form == "json":
        click.echo(json.dumps([_as_json(engine) for engine in found], indent=1))
        return 0
    if form == "markdown":
        click.echo(matrix.markdown(real))
        return 0
    if device not in engines.DEVICES:
        raise unknown("device", device, engines.DEVICES)
    data, notes = matrix.frame(found, device)
    data.insert(0, "Name", [engine.name for engine in found])
    wide = tabulate(
        data, headers="keys", showindex=False, disable_numparse=True, maxcolwidths=[12, 16, 10, 12, 12, 12, 12, 12]
    )
    click.echo(f"{device}:\n{wide}")
    for number, note in enumerate(notes, 1):
        click.echo(f"[{number}] {note}")
    return 0


def _as_json(engine: engines.Engine) -> dict[str, Any]:
    return {
        "name": engine.name, "title": engine.title, "version": engine.version, "homepage": engine.homepage,
        "licence": engine.licence, "test_only": engine.test_only, "capabilities": engine.capabilities,
        "variants": {
            variant.name: {
                "precision": variant.precision, "scheme": variant.scheme, "default": variant.default,
                "devices": {kind: vars(engine.support(variant, kind)) for kind in engines.DEVICES},
            }
            for variant in engine.variants.values()
        },
    }  # fmt: skip


@cli.command("build")
@click.option("--engines", "-e", "engine_names", default="all", show_default=True)
@click.option("--device", "-d", default="auto", show_default=True)
@click.option("--gpus")
@click.option("--isolation", default="auto", show_default=True)
def build_command(engine_names: str, device: str, gpus: str | None, isolation: str) -> int:
    """Only build the images (or virtual environments)."""
    progress = Progress()
    chosen = engines.select(engine_names, engines.discover())
    target = devices.choose(device, gpus, progress.say)
    sandbox = make_sandbox(isolation, target, Site.read(), progress)
    wanted = []
    for engine in chosen:
        entry = engine.devices.get(target.kind)
        if entry is None or not entry.support.runs:
            click.echo(f"{engine.name}: unsupported on {target.kind}: {entry.support.note if entry else 'no entry'}")
        else:
            wanted.append((engine, target.kind))
    found = prepare_all(sandbox, wanted)
    for name, made in found.items():
        failure = f"{made.outcome}: {made.reason}" if isinstance(made, CellError) else None
        click.echo(f"{name}: {failure or made.tag}")
    return outcomes.EXIT_FAILED if any(isinstance(made, CellError) for made in found.values()) else outcomes.EXIT_OK


@cli.command("check")
@click.argument("engine_name", metavar="ENGINE")
@click.option("--device", "-d", default="auto", show_default=True)
@click.option("--gpus")
@click.option("--model", "-n", default="tiny", show_default=True)
@click.option("--variants", default="all", show_default=True)
@click.option("--isolation", default="auto", show_default=True)
@click.option("--architectures", is_flag=True, help="instead: which model architectures it runs, and whether right")
def check_command(
    engine_name: str, device: str, gpus: str | None, model: str, variants: str, isolation: str, architectures: bool
) -> int:
    """Check that one engine's folder keeps the contract."""
    from orchestrator import conformance  # noqa: PLC0415 - only this command needs it
    from orchestrator.conformance.architectures import examine_architectures  # noqa: PLC0415

    progress = Progress()
    known = engines.discover()
    found = engines.select(engine_name, known)
    target = devices.choose(device, gpus, progress.say)
    plan.check_names(found, None, variants)
    sandbox = make_sandbox(isolation, target, Site.read(), progress)
    checked = None if architectures else resolve(model, CACHE, say=progress.say)
    good = True
    for engine in found:
        if checked is None:
            findings = examine_architectures(engine, target, sandbox, CACHE, progress, known)
        else:
            findings = conformance.examine(engine, target, sandbox, checked, variants, progress, known)
        click.echo(conformance.render(engine, findings))
        good = good and all(finding.passed is not False for finding in findings)
    return outcomes.EXIT_OK if good else outcomes.EXIT_FAILED


@cli.command("limits")
@click.option("--device", "-d", default="auto", show_default=True)
@click.option("--gpus")
@click.option("--threads", type=click.IntRange(1), help="CPU threads  [default: physical cores]")
@click.option("--isolation", default="auto", show_default=True)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def limits_command(device: str, gpus: str | None, threads: int | None, isolation: str, form: str) -> int:
    """Measure this device's memory bandwidth and matrix product peaks."""
    progress = Progress()
    target = devices.choose(device, gpus, progress.say)
    sandbox = make_sandbox(isolation, target, Site.read(), progress)
    found = standards.limits_alone(sandbox, progress, target, threads or host.default_threads(), engines.discover())
    click.echo(json.dumps(found, indent=1) if form == "json" else tables.limits(found))
    return outcomes.EXIT_OK


@cli.command("doctor")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def doctor_command(form: str) -> int:
    """Say what this host can and cannot do, with a remedy for each finding."""
    findings = doctor.examine()
    click.echo(
        json.dumps([vars(finding) for finding in findings], indent=1) if form == "json" else doctor.render(findings)
    )
    return outcomes.EXIT_FAILED if any(finding.status == "fail" for finding in findings) else outcomes.EXIT_OK


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line and turn what it raises into a line and an exit code."""
    try:
        with terminated_as_interrupt():  # else SIGTERM ends a `check` and leaves its container running
            code = cli.main(standalone_mode=False)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        code = outcomes.EXIT_USAGE
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()} (see --help)", err=True)
        code = outcomes.EXIT_USAGE
    except CellError as error:
        click.echo(f"error: {error.outcome}: {error.reason}", err=True)
        code = outcomes.EXIT_FAILED
    except BlockingIOError as error:
        click.echo(f"error: {error}; wait for it to end", err=True)
        code = outcomes.EXIT_BUSY
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = outcomes.EXIT_INTERRUPTED
    sys.exit(code or 0)
