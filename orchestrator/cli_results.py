"""The commands that read results: what `report`, `merge` and `audit` make of directories and files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator import audit, choose, choose_text, compare, compare_text, engines, matrix, merge, outcomes, report
from orchestrator.errors import UserError
from orchestrator.plan import split
from orchestrator.quantities import QUANTITIES


def check_directory(directory: Path, resume: bool) -> None:
    """Results are never overwritten."""
    journal = directory / "journal.jsonl"
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file: name another --out")
    if resume and not journal.is_file():
        raise UserError(f"--resume: {directory} holds no journal.jsonl; name the directory to continue with --out")
    if not resume and directory.exists() and any(directory.iterdir()):
        raise UserError(f"{directory} is not empty: add --resume to continue there, or name another --out")


def support_matrix() -> str:
    """The matrix of all engines that are more than a test."""
    return matrix.markdown([engine for engine in engines.discover().values() if not engine.test_only])


@click.command("audit")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def audit_command(file: Path, form: str) -> int:
    """Judge a CSV of anyone's published speeds: which of them does the memory bandwidth forbid?"""
    rows = audit.audit(file)
    click.echo(audit.as_json(rows) if form == "json" else audit.as_table(rows))
    return outcomes.EXIT_OK


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_command(directory: Path) -> int:
    """Write the summary and report of a results directory anew."""
    summary = merge.load(directory)
    path = report.write(directory, summary, support_matrix())
    click.echo(report.terminal(summary))
    click.echo(f"report: {path}")
    return outcomes.EXIT_OK


@click.command("merge")
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path))
def merge_command(directories: tuple[Path, ...], out: Path) -> int:
    """Join several results directories in one report."""
    check_directory(out, resume=False)
    summary = merge.merge(list(directories))
    out.mkdir(parents=True, exist_ok=True)
    path = report.write(out, summary, support_matrix())
    click.echo(report.terminal(summary))
    click.echo(f"report: {path}")
    return outcomes.EXIT_OK


CONSTRAINTS = {  # option: the quantity it limits
    "--max-memory": "memory", "--max-ttft": "ttft", "--max-itl": "itl", "--max-energy": "energy", "--max-kl": "kl",
    "--min-top1": "top1", "--min-tps": "decode_tps", "--min-throughput": "e2e_tps",
}  # fmt: skip


def _limit(_ctx: click.Context, parameter: click.Parameter, text: str | None) -> choose.Constraint | None:
    if text is None:
        return None
    option = parameter.opts[0]
    quantity = QUANTITIES[CONSTRAINTS[option]]
    try:
        return choose.Constraint(option, quantity, quantity.parse(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def constraint_options(command):
    """One option for each of CONSTRAINTS, in their order."""
    for option, key in reversed(CONSTRAINTS.items()):
        quantity = QUANTITIES[key]
        text = f"{quantity.title}: {quantity.meaning}"
        command = click.option(option, callback=_limit, metavar=quantity.example, help=text)(command)
    return command


def _names(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(split(text or ""))


@click.command("choose")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True,
                type=click.Path(path_type=Path, exists=True, file_okay=False))  # fmt: skip
@click.option("--objective", type=click.Choice(list(choose.OBJECTIVES)), default="decode_tps", show_default=True,
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
    constraints = [limits[key] for key in map(_parameter_name, CONSTRAINTS) if limits[key]]
    filters = {"device": device, "precision": precision, "engine": engines}
    found = choose.choose(list(directories), objective, constraints, filters, workload)
    click.echo(json.dumps(found, indent=1) if form == "json" else choose_text.render(found))
    return outcomes.EXIT_OK if any(answer["pick"] for answer in found["answers"]) else outcomes.EXIT_NO_CHOICE


def _parameter_name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _share(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return QUANTITIES["top1"].parse(text).value
    except ValueError as error:
        raise click.BadParameter("expected a share, for example 5% or 0.05") from error


@click.command("compare")
@click.argument("directories", metavar="BEFORE [AFTER]", nargs=-1, required=True,
                type=click.Path(path_type=Path, exists=True, file_okay=False))  # fmt: skip
@click.option("--metric", type=click.Choice(compare.METRICS), default="decode_tps", show_default=True)
@click.option("--before", metavar="ENGINE[:VARIANT][@VERSION]", help="only these rows of the first directory")
@click.option("--after", metavar="ENGINE[:VARIANT][@VERSION]", help="only these rows of the last directory")
@click.option("--anchor", metavar="ENGINE[:VARIANT]", help="the unchanged row of both runs that shows the machine's "
              "drift  [default: found by its image]")  # fmt: skip
@click.option("--no-anchor", is_flag=True, help="accept that drift of the machine is part of every ratio")
@click.option("--fail-on-regression", metavar="5%", callback=_share,
              help="exit code 3 where a row is shown to be worse by more than that, or ends in a failure")  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table", show_default=True
)  # fmt: skip
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
    question = compare.Question(metric, before, after, anchor, no_anchor, fail_on_regression)
    barred = {engine.name for engine in engines.discover().values() if engine.test_only}
    found = compare.compare(list(directories), question, barred)
    texts = {
        "json": lambda: json.dumps(found, indent=1),
        "markdown": lambda: compare_text.as_markdown(found).rstrip("\n"),
        "table": lambda: compare_text.render(found),
    }
    click.echo(texts[form]())
    return outcomes.EXIT_REGRESSION if found["regressions"] else outcomes.EXIT_OK


COMMANDS = (audit_command, report_command, merge_command, choose_command, compare_command)
