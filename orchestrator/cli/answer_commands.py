"""The commands that answer a question about results: choose, compare, replay, audit."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from orchestrator.answers.audit import published_table
from orchestrator.answers.choose import selection, selection_text
from orchestrator.answers.choose.selection import Constraint
from orchestrator.answers.compare import comparison, comparison_text
from orchestrator.answers.compare.comparison import Question
from orchestrator.answers.replay import differences, recorded_row
from orchestrator.answers.replay.measure_again import FILE, Remeasurement
from orchestrator.base import outcomes
from orchestrator.base.errors import UserError
from orchestrator.base.escape import plain
from orchestrator.base.files import write_json
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.cli import completion
from orchestrator.cli.options import FORMAT, RESULTS_ARGUMENT, share
from orchestrator.plan import engine_yaml
from orchestrator.plan.cells import split
from orchestrator.report.tables.support_matrix import support_matrix
from orchestrator.report.write import check_directory
from orchestrator.results.metrics import registry

EXIT_CODES = {
    differences.REPRODUCED: outcomes.EXIT_OK,
    differences.NOT_REPRODUCED: outcomes.EXIT_FAILED,
    differences.NOT_COMPARABLE: outcomes.EXIT_NOT_COMPARABLE,
}


@click.command("replay")
@click.argument("result", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--row",
    metavar="ENGINE:VARIANT",
    shell_complete=completion.rows,
    help="which row, where RESULT is a directory of several",
)
@click.option("--launches", type=click.IntRange(1), help="fresh containers  [default: as many as the original had]")
@click.option(
    "--tolerance", default=f"{100 * differences.TOLERANCE:g}%", show_default=True, callback=share,
    help="how far the ratio's whole interval may lie from 1",
)  # fmt: skip
@click.option(
    "--model", "-n", shell_complete=completion.model, help="where the model is now  [default: as the original names it]"
)
@click.option("--quality/--no-quality", "with_quality", default=None, help="as in run  [default: as the original]")
@click.option("--anyway", is_flag=True, help="measure also where the verdict can only be `not comparable`")
@click.option(
    "--out", type=click.Path(path_type=Path), help="results directory  [default: results/<time>-replay-<row>]"
)
@click.option("--resume", is_flag=True, help="continue in --out: launches that are measured already are kept")
@FORMAT
@click.pass_obj
def replay_command(
    workspace: Workspace, result, row, launches, tolerance, model, with_quality, anyway, out, resume, form
) -> int:
    """Measure a recorded row again, and say whether its speed is reproduced.

    RESULT is out/result.json of a launch, a launch's directory, or a results directory. The same image (by its id, or
    rebuilt with the same content hash), model, artefact, job, device and thread count are taken. What differs is named
    before anything is measured. The new launches go to a results directory of their own; the original is only read.

    Exit codes: 0 reproduced, 1 not reproduced or failed, 2 usage, 5 not comparable, 75 device busy, 130 interrupted.

    \b
    ./benchmark.sh replay results/NAME/launches/llamacpp-q8_0-b1-p128-n128-1-0f3c9a1b/out/result.json
    ./benchmark.sh replay results/NAME --row llamacpp:q8_0
    ./benchmark.sh replay results/NAME --row llamacpp:q8_0 --launches 10 --tolerance 3% --format json
    """
    original = recorded_row.find(result, row)
    if resume and out is None:
        raise UserError("--resume: name the directory to continue with --out")
    name = f"{datetime.now():%Y%m%d-%H%M%S}-replay-{original.row['engine']}-{original.row['variant']}"
    directory = out or workspace.results / name
    check_directory(directory, resume)
    remeasurement = Remeasurement(original, launches or original.row["launches"], workspace, Progress(), anyway)
    if not remeasurement.run(directory, model, with_quality, support_matrix()):
        return outcomes.EXIT_INTERRUPTED
    conclusion = remeasurement.conclusion(tolerance)
    if directory.is_dir():
        write_json(directory / FILE, conclusion)
    text = json.dumps(conclusion, indent=1) if form == "json" else plain(differences.render(conclusion, original))
    click.echo(text)
    return EXIT_CODES[conclusion["verdict"]]


@click.command("audit")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def audit_command(file: Path, form: str) -> int:
    """Judge a CSV of anyone's published speeds: which of them does the memory bandwidth forbid?

    \b
    ./benchmark.sh audit docs/published/premai-2024-04.csv
    """
    rows = published_table.audit(file)
    click.echo(published_table.as_json(rows) if form == "json" else published_table.as_table(rows))
    return outcomes.EXIT_OK


def _limit(_ctx: click.Context, parameter: click.Parameter, text: str | None) -> Constraint | None:
    if text is None:
        return None
    option = parameter.opts[0]
    quantity = registry.limits()[option]
    try:
        return Constraint(option, quantity, quantity.parse(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def constraint_options(command):
    """Add an option for each metric that can be limited, in the registry's order."""
    for option, quantity in reversed(registry.limits().items()):
        text = f"{quantity.title}: {quantity.meaning}"
        command = click.option(option, callback=_limit, metavar=quantity.example, help=text)(command)
    return command


def _names(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(split(text or ""))


@click.command("choose")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=RESULTS_ARGUMENT)
@click.option("--objective", type=click.Choice(list(registry.objectives())), default="decode_tps", show_default=True,
              help="what to have most (or, of memory, energy and KL, least) of")  # fmt: skip
@constraint_options
@click.option("--device", "-d", callback=_names, help="only these kinds of device, for example cuda")
@click.option("--precision", "--precisions", callback=_names, help="only these, for example int8,int4")
@click.option("--engines", "--engine", "-e", callback=_names, help="only these")
@click.option("--workload", metavar="HASH", help="only this workload  [default: an answer for each]")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def choose_command(directories, objective, device, precision, engines, workload, form, **limits) -> int:
    """Say which row to take under given limits, and why not the others.

    Prints the pick, what cannot be told apart from it, the Pareto set, and for each rejected row every limit that it
    missed and by how much. An unknown figure meets no limit. A limit is judged by the median (of memory by the largest
    peak); it is said where the interval straddles it. Exit code 4 where nothing meets the limits.

    \b
    ./benchmark.sh choose results/mine --max-memory 16GB --min-top1 99%
    ./benchmark.sh choose results/mine --objective memory --min-tps 20 --max-ttft 200ms
    ./benchmark.sh choose results/a results/b --device cuda --precision int8,int4 --format json

    Throughput is that of the batch size measured: each batch size is a workload with an answer of its own.
    """
    constraints = [limits[key] for key in map(_parameter_name, registry.limits()) if limits[key]]
    filters = {"device": device, "precision": precision, "engine": engines}
    choice = selection.choose(list(directories), objective, constraints, filters, workload)
    click.echo(json.dumps(choice, indent=1) if form == "json" else selection_text.render(choice))
    return outcomes.EXIT_OK if any(answer["pick"] for answer in choice["answers"]) else outcomes.EXIT_NO_CHOICE


def _parameter_name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


@click.command("compare")
@click.argument("directories", metavar="BEFORE [AFTER]", nargs=-1, required=True, type=RESULTS_ARGUMENT)
@click.option(
    "--metric",
    type=click.Choice([metric.key for metric in registry.comparable()]),
    default="decode_tps",
    show_default=True,
)
@click.option("--before", metavar="ENGINE[:VARIANT][@VERSION]", help="only these rows of the first directory")
@click.option("--after", metavar="ENGINE[:VARIANT][@VERSION]", help="only these rows of the last directory")
@click.option("--anchor", metavar="ENGINE[:VARIANT]", help="the unchanged row of both runs that shows the machine's "
              "drift  [default: found by its image]")  # fmt: skip
@click.option("--no-anchor", is_flag=True, help="accept that drift of the machine is part of every ratio")
@click.option("--fail-on-regression", metavar="5%", callback=share,
              help="exit code 3 where a row is shown to be worse by more than that, or ends in a failure")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table", show_default=True)
def compare_command(directories, metric, before, after, anchor, no_anchor, fail_on_regression, form) -> int:
    """Say whether results have become faster or slower, row by row.

    Two results directories, or one that holds an engine in two versions (merged runs) or, with --before and --after,
    two engines of one run. Rows of one run are compared block by block. Rows of two runs need an anchor: an engine
    measured in both whose software is the same, by which the drift of the machine is taken out.

    Verdicts: faster, slower (of memory and energy: smaller, larger), no difference shown, cannot tell, not comparable.
    Exit code 3 with --fail-on-regression only where the whole interval lies beyond it.

    \b
    ./benchmark.sh compare results/before results/after
    ./benchmark.sh compare results/before results/after --fail-on-regression 5% --format markdown
    ./benchmark.sh compare results/one --before alpha:q8 --after beta:q8 --metric ttft
    """
    if anchor and no_anchor:
        raise UserError("--anchor and --no-anchor contradict each other: leave one away")
    question = Question(metric, before, after, anchor, no_anchor, fail_on_regression)
    barred = {engine.name for engine in engine_yaml.discover().values() if engine.test_only}
    result = comparison.compare(list(directories), question, barred)
    texts = {
        "json": lambda: json.dumps(result, indent=1),
        "markdown": lambda: comparison_text.as_markdown(result).rstrip("\n"),
        "table": lambda: comparison_text.render(result),
    }
    click.echo(texts[form]())
    return outcomes.EXIT_REGRESSION if result["regressions"] else outcomes.EXIT_OK
