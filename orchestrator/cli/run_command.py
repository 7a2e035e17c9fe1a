"""The default command: build, convert, measure, merge and report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from orchestrator.base import outcomes
from orchestrator.base.errors import CellError, UserError, unknown
from orchestrator.base.paths import CACHE, RESULTS
from orchestrator.base.progress import Progress
from orchestrator.cli import completion
from orchestrator.cli.options import DEVICE, GPUS, ISOLATION, THREADS, WAIT, size
from orchestrator.machine import host
from orchestrator.machine.devices import choose_device
from orchestrator.machine.lock import device_lock
from orchestrator.machine.site import Site
from orchestrator.models.ready.entry import Entry, load_entry
from orchestrator.models.ready.find import find_checkpoints
from orchestrator.models.resolve import resolve
from orchestrator.plan import engine_yaml, profiles, prompts, support
from orchestrator.plan.cells import Cell, Shape, select_cells, split
from orchestrator.plan.engine import Engine, ready_schemes, select_engines
from orchestrator.plan.profiles import BUILD_S, HANG_S
from orchestrator.plan.request import Request, new_seed
from orchestrator.report import terminal_table, write
from orchestrator.report.tables.support_matrix import support_matrix
from orchestrator.report.write import check_directory
from orchestrator.results.summary import seed_of, summarise
from orchestrator.run.pipeline import Run
from orchestrator.sandbox.isolation import sandbox_for

ARTEFACTS = ("convert", "ready")


def positive_list(_ctx: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in split(text))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise click.BadParameter("expected whole numbers from 1 on, for example 1,8")
    return tuple(dict.fromkeys(values))


@click.command("run")
@click.option(
    "--engines",
    "-e",
    "engine_names",
    help="all, or a list: a,b  [default: those with by_default in engine.yaml]",
    shell_complete=completion.engine,
)
@DEVICE
@GPUS
@click.option(
    "--model",
    "-n",
    "--model_name",
    default="tiny",
    show_default=True,
    shell_complete=completion.model,
    help="tiny, synthetic:<shape>, a directory, ORG/NAME@REV, or a model's entry FILE.yaml (docs/extend/ready_made.md)",
)
@click.option(
    "--artefacts", default="convert", show_default=True,
    help="convert: all engines run the same weights; ready: the quantised checkpoints that the entry names",
)  # fmt: skip
@click.option(
    "--precisions",
    shell_complete=completion.precisions,
    help="all, or a list: float32,bfloat16,float16,float8,int8,int4  [default: all; quick: float32,int8]",
)
@click.option(
    "--variants", shell_complete=completion.variants, help="default, all, or a list of names  [default: default]"
)
@click.option(
    "--profile", default="quick", show_default=True, shell_complete=completion.profile,
    help="quick, standard or publish",
)  # fmt: skip
@click.option("--prompt", "-p", help="one prompt text instead of the fixed questions")
@click.option("--prompt-tokens", type=click.IntRange(1), default=128, show_default=True)
@click.option("--new-tokens", "-m", "--max_tokens", type=click.IntRange(2), default=128, show_default=True)
@click.option("--batch-sizes", default="1", show_default=True, callback=positive_list, help="for example 1,8")
@click.option("--launches", type=click.IntRange(1), help="fresh containers per cell  [default: by profile]")
@click.option("--repetitions", "-r", type=click.IntRange(1), help="iterations per launch  [default: by profile]")
@THREADS
@ISOLATION
@click.option("--seed", type=click.IntRange(0), help="of the order of launches  [default: random, recorded]")
@click.option("--timeout", type=click.IntRange(1), default=3600, show_default=True, help="seconds a launch may take")
@click.option(
    "--hang-timeout",
    type=click.IntRange(1),
    default=int(HANG_S),
    show_default=True,
    help="seconds that a launch may show no sign of life",
)
@click.option("--memory-limit", callback=size, help="of one container, for example 12GB  [default: 90 % of the host's]")
@click.option(
    "--build-timeout", type=click.IntRange(1), default=BUILD_S, show_default=True, help="seconds for an image"
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="results directory  [default: results/<time>-<model>-<device>]"
)
@click.option(
    "--quality/--no-quality", "with_quality", default=True, show_default=True,
    help="compare every variant with the float32 reference (builds the reference engine too)",
)  # fmt: skip
@WAIT
@click.option("--resume", is_flag=True, help="continue in --out: launches that are measured already are kept")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="of the result on stdout; json is the summary, with nothing else",
)  # fmt: skip
def run_command(
    engine_names, device, gpus, model, artefacts, precisions, variants, profile, prompt, prompt_tokens, new_tokens,
    batch_sizes, launches, repetitions, threads, isolation, seed, timeout, hang_timeout, memory_limit, build_timeout,
    out, with_quality, wait_s, resume, form,
) -> int:  # fmt: skip
    """Build, convert, measure, merge and report (the default command).

    \b
    ./benchmark.sh                                                   quick look at the bundled model
    ./benchmark.sh --engines all --device cuda --profile standard    a table worth showing
    ./benchmark.sh --engines llamacpp --variants q8_0,q4_k_m --batch-sizes 1,8
    ./benchmark.sh --engines pytorch --model ORG/NAME@REV --precisions bfloat16 --out results/mine
    ./benchmark.sh --resume --out results/mine       after an interruption, with the same options
    ./benchmark.sh --engines llamacpp --format json > summary.json
    """
    progress = Progress()
    known = engine_yaml.discover()
    chosen = select_engines(engine_names, known)
    if profile not in profiles.PROFILES:
        raise unknown("profile", profile, profiles.PROFILES)
    setting = profiles.PROFILES[profile]
    if precisions is None and variants is None:
        precisions = setting.precisions
    shapes = tuple(Shape(batch, prompt_tokens, new_tokens) for batch in batch_sizes)
    entry = read_entry(model, artefacts, known, progress)
    offered = entry.ready if artefacts == "ready" else {}
    cells = select_cells(chosen, precisions, variants, shapes, offered)
    target = choose_device(device, gpus, progress.say)
    check_model_name(entry.model)
    shown = entry.file.stem if entry.file else model
    directory = (
        out
        or RESULTS
        / f"{datetime.now():%Y%m%d-%H%M%S}-{shown.replace('/', '-').replace(':', '-').strip('.-')}-{target.kind}"
    )
    check_directory(directory, resume)
    site = Site.read()
    sandbox = sandbox_for(isolation, target, site, progress, build_timeout, memory_limit)
    with device_lock(target, CACHE / "locks", wait_s, progress.say):
        if resume and seed is None:
            seed = seed_of(directory)
        request = Request(
            device=target, model=entry.model, profile=setting, launches=launches or setting.launches,
            repetitions=repetitions or setting.repetitions,
            threads=threads or host.default_threads(), seed=new_seed() if seed is None else seed, prompt=prompt,
            wall_s=timeout, hang_s=hang_timeout,
            with_quality=with_quality and not all(engine.test_only for engine in chosen),
            entry=entry if artefacts == "ready" else None, memory_limit=memory_limit,
        )  # fmt: skip
        # A model that is no model is the user's mistake: found out before anything is written. A hub that does not
        # answer is not; it ends the cells.
        resolved = resolve_early(entry.model, progress)
        shapes = fit_shapes(shapes, resolved, prompt)
        if precisions == setting.precisions != "all":
            progress.say(f"precisions: {precisions}; --precisions all measures every column")
        cells = select_cells(chosen, precisions, variants, shapes, offered)
        ready_made = find_ready_made(request, cells, resolved, progress)
        uninterrupted = Run(request, directory, sandbox, resolved, progress, known, ready_made=ready_made).go(cells)
    summary = summarise(directory)
    path = write.write(directory, summary, support_matrix())
    if form == "json":
        click.echo(write.as_text(summary), nl=False)
        progress.say(write.where(path))
    else:
        click.echo("\n" + terminal_table.terminal(summary))
        click.echo(write.where(path))
    if not uninterrupted:
        return outcomes.EXIT_INTERRUPTED
    asked = {(cell.engine.name, cell.variant.name, cell.shape) for cell in cells}
    return outcomes.exit_code([row["outcome"] for row in summary["rows"] if row_identity(row) in asked])


def row_identity(row: dict[str, Any]) -> tuple[str, str, Shape]:
    """A resumed directory may hold rows that this command did not ask for."""
    return row["engine"], row["variant"], Shape(row["batch_size"], row["prompt_tokens"], row["new_tokens"])


def fit_shapes(shapes: tuple[Shape, ...], resolved: Callable[[], Any], prompt: str | None) -> tuple[Shape, ...]:
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


def read_entry(model: str, artefacts: str, known: dict[str, Engine], progress: Progress) -> Entry:
    """What --model names: a model, or a file that names it and its ready-made checkpoints."""
    if artefacts not in ARTEFACTS:
        raise unknown("kind of artefacts", artefacts, ARTEFACTS)
    entry = load_entry(model, ready_schemes(known.values()))
    if artefacts == "ready" and not entry.ready:
        raise UserError(
            "--artefacts ready: --model must be an entry FILE.yaml that names checkpoints under `ready:`, see "
            "docs/extend/ready_made.md"
        )
    if artefacts == "convert" and entry.ready:
        progress.say(f"{entry.file}: its ready-made checkpoints are not used without --artefacts ready")
    return entry


def find_ready_made(
    request: Request, cells: list[Cell], resolved: Callable[[], Any], progress: Progress
) -> dict[str, Any] | None:
    """The checkpoints that the cells will take, by scheme, or the CellError of one; None where all is converted.

    Like the model, they are looked at before anything is written: a damaged one is the user's to mend.
    """
    if request.entry is None:
        return None
    try:
        model = resolved()
    except CellError:
        return {}  # the run records why there is no model
    offered, kind, gpus = request.entry.ready, request.device.kind, request.device.detail.get("gpus", ())
    runs = [cell for cell in cells if support.unsupported(cell, kind, model.config, gpus=gpus, offered=offered) is None]
    wanted = [support.ready_scheme(cell.variant, offered) for cell in runs]
    return find_checkpoints(request.entry, filter(None, wanted), model, CACHE, progress.say)


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
