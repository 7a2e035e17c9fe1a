"""Reads one measured cell of a results directory, with everything needed to measure it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.contract import Job, Shape
from orchestrator.base.errors import UserError
from orchestrator.base.reading import Unreadable
from orchestrator.judge.launch_files import read_job, read_samples
from orchestrator.results import journal, merge

HOW = (
    "name out/result.json of a launch in a directory that `./benchmark.sh run` wrote, or that directory with "
    "--row ENGINE:VARIANT"
)


@dataclass(frozen=True)
class RecordedRow:
    """A measured cell, from the journal and its first good launch."""

    directory: Path  # of the results
    run: dict[str, Any]  # the journal's record of the request
    model: dict[str, Any]  # the journal's record of the model
    planned: dict[str, Any]  # the journal's record of the cell: image, workload, keys
    row: dict[str, Any]  # its row of the summary
    job: Job  # of its launches, without paths and exam
    launches: list[Path]  # directories of the launches that its figures come from

    @property
    def label(self) -> str:
        return self.planned["label"]

    @property
    def shape(self) -> Shape:
        return self.job.shape


def find(path: Path, row: str | None) -> RecordedRow:
    """The cell that `path` (a file or folder of a launch, or a results directory) and `row` name.

    `row` is ENGINE:VARIANT or a cell's label. Raises UserError where that is no cell, several, or one without figures.
    """
    path = path.resolve()
    directory = next((parent for parent in (path, *path.parents) if (parent / journal.NAME).is_file()), None)
    if directory is None:
        merged = path.is_dir() and (path / "summary.json").is_file()
        why = f"holds no {journal.NAME} (a merged directory?)" if merged else "belongs to no results directory"
        raise UserError(f"{path} {why}: {HOW}")
    records = list(journal.read(directory))
    inside = path.relative_to(directory).parts
    if inside[:1] == ("launches",) and len(inside) > 1:
        label = _label_of_launch(directory, records, "/".join(inside[:2]))
    elif len(inside) > 1 or (inside and (directory / inside[0]).is_dir()):
        raise UserError(f"{path} is no launch: {HOW}")
    else:
        label = None
    summary = merge.load(directory)
    return read(directory, records, _choose(directory, summary["rows"], label, row))


def read(directory: Path, records: list[dict[str, Any]], row: dict[str, Any]) -> RecordedRow:
    """The cell of a summary's row. Raises UserError where it has no figures, or its files are damaged."""
    label = label_of(row)
    if row["outcome"] != "ok" or not row["decode_tps"]:
        why = f"{row['outcome']}: {row['reason']}".splitlines()[0] if row["outcome"] != "ok" else "no decode speed"
        raise UserError(f"{label} in {directory} has no figure to reproduce ({why}): measure it with `run` first")
    run: dict[str, Any] = {}
    model: dict[str, Any] = {}
    planned: dict[str, Any] = {}
    for record in records:
        if record["kind"] == "run":
            latest_run = record
        if record["kind"] == "model":
            latest_model = record
        if record["kind"] == "cell" and record["label"] == label:  # a resumed run records it again
            run, model, planned = latest_run, latest_model, record
    if not planned:
        raise UserError(f"{directory / journal.NAME} does not hold the plan of {label}: it is damaged")
    latest = {
        record["block"]: directory / record["directory"]
        for record in records
        if record["kind"] == "launch" and record["label"] == label and record["key"] in planned["keys"]
    }
    launches = [latest[block] for block in row["blocks"]]
    return RecordedRow(directory, run, model, planned, row, _job(launches[0]), launches)


def label_of(row: dict[str, Any]) -> str:
    """The label of a row's cell in the journal."""
    return f"{row['engine']}-{row['variant']}-b{row['batch_size']}-p{row['prompt_tokens']}-n{row['new_tokens']}"


def tokens(launches: list[Path]) -> tuple[dict[int, list[list[int]]], str | None]:
    """({iteration: generated ids [steps][batch]}, where two launches differ; None if nowhere)."""
    ids: dict[int, list[list[int]]] = {}
    for directory in launches:
        for sample in read_samples(directory):
            if sample.phase not in ("warmup", "measure"):
                continue
            if ids.setdefault(sample.i, sample.ids) != sample.ids:
                return ids, f"iteration {sample.i} of {directory.name}"
    return ids, None


def _label_of_launch(directory: Path, records: list[dict[str, Any]], launch: str) -> str:
    for record in records:
        if record["kind"] == "launch" and record["directory"] == launch:
            return record["label"]
    raise UserError(f"{directory / launch} is no launch that {directory / journal.NAME} knows of: {HOW}")


def _choose(directory: Path, rows: list[dict[str, Any]], label: str | None, asked: str | None) -> dict[str, Any]:
    matches = [row for row in rows if label is None or label_of(row) == label]
    if asked is not None:
        matches = [row for row in matches if asked in (f"{row['engine']}:{row['variant']}", label_of(row))]
    if len(matches) == 1:
        return matches[0]
    choices = matches or rows
    names = [f"{row['engine']}:{row['variant']}" for row in choices]
    if len(set(names)) < len(names):  # several shapes
        names = [label_of(row) for row in choices]
    what = "several rows match" if matches else f"no row is {asked!r}"
    raise UserError(f"{directory}: {what}: say which with --row, one of {', '.join(names)}")


def _job(launch: Path) -> Job:
    """job.json without what a launch adds to its cell's job: paths and, in the first launch, the exam."""
    try:
        job = read_job(launch)
    except (OSError, Unreadable) as error:
        where = launch / "job.json"
        raise UserError(f"{where} cannot be read ({error}): restore it, or name another launch") from error
    return replace(job, model=replace(job.model, path="", artefact=""), score=[], score_s=None, ask=None)
