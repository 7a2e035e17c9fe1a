"""The commands that read results: what `report`, `merge` and `audit` make of directories and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from orchestrator import (
    audit,
    choose,
    choose_text,
    compare,
    compare_text,
    engines,
    exports,
    matrix,
    merge,
    outcomes,
    report,
    static_charts,
    store,
)  # fmt: skip
from orchestrator.cli_options import share
from orchestrator.errors import UserError
from orchestrator.models.store import write_atomically
from orchestrator.plan import split
from orchestrator.quantities import QUANTITIES

RESULTS = click.Path(path_type=Path, exists=True)  # a results directory, a merged one, or a store file


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
    """The matrix of all engines that are more than a test, as Markdown."""
    return matrix.markdown(real_engines())


def real_engines() -> list[engines.Engine]:
    return [engine for engine in engines.discover().values() if not engine.test_only]


@click.command("audit")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def audit_command(file: Path, form: str) -> int:
    """Judge a CSV of anyone's published speeds: which of them does the memory bandwidth forbid?

    \b
    ./benchmark.sh audit docs/published/premai-2024-04.csv
    """
    rows = audit.audit(file)
    click.echo(audit.as_json(rows) if form == "json" else audit.as_table(rows))
    return outcomes.EXIT_OK


@click.command("report")
@click.argument("results", type=RESULTS)
@click.option(
    "--format", "form", type=click.Choice([*exports.FORMATS, *static_charts.FORMATS]),
    help="print tables, or write the charts as png or svg  [default: write report.md and summary.*]",
)  # fmt: skip
@click.option("--table", "name", metavar="NAME", help=f"all, or one of {', '.join(exports.NAMES)}")
@click.option("--history", is_flag=True, help="each engine's line over versions and dates, as --table history")
@click.option("--baseline", metavar="ENGINE:VARIANT", help="what `settings` and `precisions` are relative to  "
              "[default: the first float32 row; an engine's most precise variant]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="a file for a table, a new directory for all else")
def report_command(
    results: Path, form: str | None, name: str | None, history: bool, baseline: str | None, out: Path | None
) -> int:
    """Write the report of results anew, or print their tables for pasting.

    RESULTS is a directory that `run` or `merge` wrote, or a file that `merge --store` wrote. Without --table, csv and
    json are the rows with all their figures, and markdown, latex and table are all tables.

    \b
    ./benchmark.sh report results/mine
    ./benchmark.sh report results/mine --format latex --table speed > speed.tex
    ./benchmark.sh report results/mine --table settings --baseline ENGINE:float32
    ./benchmark.sh report results.duckdb --history
    ./benchmark.sh report results/mine --format svg --out charts
    """
    if history and name not in (None, "history"):
        raise UserError(f"--history is --table history: leave --table {name} away")
    name = "history" if history else name
    summary = merge.load(results)
    if form in static_charts.FORMATS:
        return _write_charts(summary, form, out, name, baseline)
    if form or name or baseline:
        _print(_as_text(summary, form or "table", name, baseline), out)
        return outcomes.EXIT_OK
    if out:
        check_directory(out, resume=False)
    elif results.is_dir():
        out = results
    click.echo(report.terminal(summary))
    if out:
        out.mkdir(parents=True, exist_ok=True)
        click.echo(report.where(report.write(out, summary, support_matrix())))
    else:
        click.echo(f"report: not written; `./benchmark.sh report {results} --out DIR` writes it")
    return outcomes.EXIT_OK


def _as_text(summary: dict[str, Any], form: str, name: str | None, baseline: str | None) -> str:
    if name is None and form in ("csv", "json") and baseline is None:
        return report.as_csv(summary) if form == "csv" else report.as_text(summary)
    return exports.FORMATS[form](exports.collect(summary, real_engines(), name or "all", baseline))


def _print(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text.rstrip("\n"))
        return
    if out.exists():
        raise UserError(f"{out} is there already: remove it, or name another --out")
    if not out.parent.is_dir():
        raise UserError(f"{out.parent} is no directory: make it, or name another --out")
    write_atomically(out, text)


def _write_charts(summary: dict[str, Any], form: str, out: Path | None, name: str | None, baseline: str | None) -> int:
    if out is None:
        raise UserError(f"--format {form} writes a file for each chart: name a directory for them with --out")
    if name or baseline:
        raise UserError(f"--format {form} writes charts: --table, --history and --baseline choose tables")
    check_directory(out, resume=False)
    paths, lacking = static_charts.write(out, summary, form)
    for path in paths:
        click.echo(path)
    for reason in lacking:
        click.echo(f"no {reason[0].lower()}{reason[1:]}", err=True)
    return outcomes.EXIT_OK


@click.command("merge")
@click.argument("results", nargs=-1, required=True, type=RESULTS)
@click.option("--out", type=click.Path(path_type=Path), help="a new directory for the one report of all")
@click.option(
    "--store", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.duckdb",
    help="append the runs to this file; `report`, `compare` and `choose` read it as they do a directory",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def merge_command(results: tuple[Path, ...], out: Path | None, file: Path | None, form: str) -> int:
    """Join several results in one report, or collect them in one file.

    A run that is there twice counts once, and nothing is overwritten. Results of several machines are merged alike;
    rows that did different work under the same name are refused in a report and kept apart in a store.

    \b
    ./benchmark.sh merge results/laptop results/server --out results/both
    ./benchmark.sh merge results/* --store results.duckdb
    """
    if out is None and file is None:
        raise UserError("say where to: --out DIR for a report, --store FILE.duckdb to collect runs")
    said: list[str] = []
    done: dict[str, Any] = {}
    if out:
        check_directory(out, resume=False)
        summary = merge.merge(list(results), said.append)
    if file:
        parts = [part for each in results for part in merge.split(merge.load(each), each)]
        done["store"] = {"file": str(file), **vars(store.append(file, parts))}
    if out:
        out.mkdir(parents=True, exist_ok=True)
        path = report.write(out, summary, support_matrix())
        done.update(report=str(path), summary=str(out / report.SUMMARY), rows=len(summary["rows"]))
    if form == "json":
        click.echo(json.dumps({**done, "notes": said}, indent=1))
        return outcomes.EXIT_OK
    if out:
        click.echo(report.terminal(summary))
    for line in said:
        click.echo(f"note: {line}")
    if out:
        click.echo(report.where(path))
    if file:
        counts = "{added} added, {known} there already; it holds {runs} run(s) with {rows} row(s)"
        click.echo(f"store: {file}: {counts.format(**done['store'])}")
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
                type=RESULTS)  # fmt: skip
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


@click.command("compare")
@click.argument("directories", metavar="BEFORE [AFTER]", nargs=-1, required=True,
                type=RESULTS)  # fmt: skip
@click.option("--metric", type=click.Choice(compare.METRICS), default="decode_tps", show_default=True)
@click.option("--before", metavar="ENGINE[:VARIANT][@VERSION]", help="only these rows of the first directory")
@click.option("--after", metavar="ENGINE[:VARIANT][@VERSION]", help="only these rows of the last directory")
@click.option("--anchor", metavar="ENGINE[:VARIANT]", help="the unchanged row of both runs that shows the machine's "
              "drift  [default: found by its image]")  # fmt: skip
@click.option("--no-anchor", is_flag=True, help="accept that drift of the machine is part of every ratio")
@click.option("--fail-on-regression", metavar="5%", callback=share,
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
