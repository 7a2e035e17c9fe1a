"""The commands that write and join results: report, merge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from orchestrator.base import outcomes
from orchestrator.base.errors import UserError
from orchestrator.base.files import write_atomically
from orchestrator.cli.options import RESULTS_ARGUMENT
from orchestrator.plan.engine_yaml import real_engines
from orchestrator.report import exports, static_charts, terminal_table, write
from orchestrator.report.tables.support_matrix import support_matrix
from orchestrator.report.write import check_directory
from orchestrator.results import merge, store
from orchestrator.results.merge import merge_results
from orchestrator.results.summary import SUMMARY


@click.command("report")
@click.argument("results", type=RESULTS_ARGUMENT)
@click.option(
    "--format",
    "form",
    type=click.Choice([*exports.FORMATS, *static_charts.FORMATS]),
    help="print tables, or write the charts as png or svg  [default: write report.md and summary.*]",
)
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
    click.echo(terminal_table.terminal(summary))
    if out:
        out.mkdir(parents=True, exist_ok=True)
        click.echo(write.where(write.write(out, summary, support_matrix())))
    else:
        click.echo(f"report: not written; `./benchmark.sh report {results} --out DIR` writes it")
    return outcomes.EXIT_OK


def _as_text(summary: dict[str, Any], form: str, name: str | None, baseline: str | None) -> str:
    if name is None and form in ("csv", "json") and baseline is None:
        return write.as_csv(summary) if form == "csv" else write.as_text(summary)
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
    paths, missing = static_charts.write(out, summary, form)
    for path in paths:
        click.echo(path)
    for reason in missing:
        click.echo(f"no {reason[0].lower()}{reason[1:]}", err=True)
    return outcomes.EXIT_OK


@click.command("merge")
@click.argument("results", nargs=-1, required=True, type=RESULTS_ARGUMENT)
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
    notes: list[str] = []
    written: dict[str, Any] = {}
    if out:
        check_directory(out, resume=False)
        summary = merge_results(list(results), notes.append)
    if file:
        parts = [part for source in results for part in merge.split(merge.load(source), source)]
        written["store"] = {"file": str(file), **vars(store.append(file, parts))}
    if out:
        out.mkdir(parents=True, exist_ok=True)
        path = write.write(out, summary, support_matrix())
        written.update(report=str(path), summary=str(out / SUMMARY), rows=len(summary["rows"]))
    if form == "json":
        click.echo(json.dumps({**written, "notes": notes}, indent=1))
        return outcomes.EXIT_OK
    if out:
        click.echo(terminal_table.terminal(summary))
    for line in notes:
        click.echo(f"note: {line}")
    if out:
        click.echo(write.where(path))
    if file:
        counts = "{added} added, {known} there already; it holds {runs} run(s) with {rows} row(s)"
        click.echo(f"store: {file}: {counts.format(**written['store'])}")
    return outcomes.EXIT_OK
