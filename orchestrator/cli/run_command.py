"""The default command: build, convert, measure, merge and report."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from orchestrator.base import outcomes
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.cli import completion
from orchestrator.cli.options import DEVICE, GPUS, ISOLATION, THREADS, WAIT, size
from orchestrator.plan import engine_yaml
from orchestrator.plan.cells import Shape, split
from orchestrator.plan.profiles import BUILD_S, HANG_S
from orchestrator.plan.request import Options, Request, make_request
from orchestrator.plan.run_plan import make_plan
from orchestrator.report import terminal_table, write
from orchestrator.report.tables.support_matrix import support_matrix
from orchestrator.report.write import check_directory
from orchestrator.results.summary import seed_of, summarise
from orchestrator.run.pipeline import measure
from orchestrator.run.session import Setup, open_session


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
    shell_complete=completion.engine,
    help="all, or a list: a,b  [default: those with by_default in engine.yaml]",
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
    "--artefacts",
    default="convert",
    show_default=True,
    help="convert: all engines run the same weights; ready: the quantised checkpoints that the entry names",
)
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
@click.pass_obj
def run_command(workspace: Workspace, isolation, build_timeout, wait_s, out, resume, form, **values) -> int:
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
    options = Options(**values)
    engines = engine_yaml.discover(workspace.root)
    request = make_request(options, engines, progress.say)
    directory = out or workspace.results / f"{datetime.now():%Y%m%d-%H%M%S}-{directory_title(request)}"
    check_directory(directory, resume)
    setup = Setup(isolation, request.threads, wait_s, build_timeout, request.memory_limit)
    with open_session(workspace, request.device, setup, engines, progress) as bench:
        if resume and options.seed is None:
            request = replace(request, seed=seed_of(directory))
        plan = make_plan(request, workspace.cache, progress.say)
        uninterrupted = measure(plan, directory, bench)
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
    # A resumed directory may hold rows that this command did not request.
    requested = {(cell.engine.name, cell.variant.name, cell.shape) for cell in plan.cells}
    return outcomes.exit_code([row["outcome"] for row in summary["rows"] if row_identity(row) in requested])


def directory_title(request: Request) -> str:
    """Model and device, as in "llama-160m-cpu"."""
    return f"{request.title.replace('/', '-').replace(':', '-').strip('.-')}-{request.device.kind}"


def row_identity(row: dict[str, Any]) -> tuple[str, str, Shape]:
    """The cell of a row: (engine, variant, shape)."""
    return row["engine"], row["variant"], Shape(row["batch_size"], row["prompt_tokens"], row["new_tokens"])
