"""The commands that read results: what `report`, `merge` and `audit` make of directories and files."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator import audit, engines, matrix, merge, outcomes, report
from orchestrator.errors import UserError


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


COMMANDS = (audit_command, report_command, merge_command)
