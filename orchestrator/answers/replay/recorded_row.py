"""One measured cell of a results directory, with all that is needed to measure it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UserError
from orchestrator.base.reading import Unreadable, parse, read_text
from orchestrator.judge.samples import read_samples
from orchestrator.plan.cells import Shape
from orchestrator.results import journal, merge

JOB_LIMIT = 256 << 20  # bytes; a job holds every prompt
HOW = (
    "name out/result.json of a launch in a directory that `./benchmark.sh run` wrote, or that directory with "
    "--row ENGINE:VARIANT"
)


@dataclass(frozen=True)
class RecordedRow:
    """What was measured, as its journal and its first good launch tell it."""

    directory: Path  # of the results
    run: dict[str, Any]  # the journal's record of the request
    model: dict[str, Any]  # the journal's record of the model
    planned: dict[str, Any]  # the journal's record of the cell: image, workload, keys
    row: dict[str, Any]  # its row of the summary
    job: dict[str, Any]  # of its launches, without paths and exam
    launches: list[Path]  # directories of the launches that its figures come from

    @property
    def label(self) -> str:
        return self.planned["label"]

    @property
    def shape(self) -> Shape:
        return Shape(**self.job["shape"])


def find(path: Path, row: str | None) -> RecordedRow:
    """The cell that `path` (a file or folder of a launch, or a results directory) and `row` name.

    `row` is ENGINE:VARIANT or a cell's label. Raises UserError where that is no cell, more than one, or one that has no
    figures.
    """
    path = path.resolve()
    directory = next((each for each in (path, *path.parents) if (each / journal.NAME).is_file()), None)
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
    found = _choose(directory, summary["rows"], label, row)
    return read(directory, records, found)


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
            current = record
        if record["kind"] == "model":
            known = record
        if record["kind"] == "cell" and record["label"] == label:  # a resumed run says it again
            run, model, planned = current, known, record
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
    """A row's cell, named as the journal names it."""
    return f"{row['engine']}-{row['variant']}-b{row['batch_size']}-p{row['prompt_tokens']}-n{row['new_tokens']}"


def tokens(launches: list[Path]) -> tuple[dict[int, list], str | None]:
    """What the launches generated, {iteration: ids [steps][batch]}, and where two of them differ, None if nowhere."""
    found: dict[int, list] = {}
    for directory in launches:
        for sample in read_samples(directory / "out" / "samples.jsonl"):
            if sample["phase"] not in ("warmup", "measure"):
                continue
            if found.setdefault(sample["i"], sample["ids"]) != sample["ids"]:
                return found, f"iteration {sample['i']} of {directory.name}"
    return found, None


def _label_of_launch(directory: Path, records: list[dict[str, Any]], launch: str) -> str:
    for record in records:
        if record["kind"] == "launch" and record["directory"] == launch:
            return record["label"]
    raise UserError(f"{directory / launch} is no launch that {directory / journal.NAME} knows of: {HOW}")


def _choose(directory: Path, rows: list[dict[str, Any]], label: str | None, asked: str | None) -> dict[str, Any]:
    named = [row for row in rows if label is None or label_of(row) == label]
    if asked is not None:
        named = [row for row in named if asked in (f"{row['engine']}:{row['variant']}", label_of(row))]
    if len(named) == 1:
        return named[0]
    choices = named or rows
    names = [f"{row['engine']}:{row['variant']}" for row in choices]
    if len(set(names)) < len(names):  # several shapes
        names = [label_of(row) for row in choices]
    what = "several rows match" if named else f"no row is {asked!r}"
    raise UserError(f"{directory}: {what}: say which with --row, one of {', '.join(names)}")


def _job(launch: Path) -> dict[str, Any]:
    """job.json without what a launch adds to its cell's job: paths, and the exam of the first one."""
    path = launch / "job.json"
    try:
        job = parse(read_text(path, JOB_LIMIT))
        job["model"] = {key: value for key, value in job["model"].items() if key not in ("path", "artefact")}
        Shape(**job["shape"])
        return {key: value for key, value in job.items() if key not in ("score", "score_s", "ask")}
    except (OSError, Unreadable, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it, or name another launch") from error
