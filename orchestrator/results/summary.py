"""summary.json, from a run's journal and its launches' files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.base.errors import UserError
from orchestrator.machine.measured_limits import read_limits
from orchestrator.results import journal
from orchestrator.results.launch_record import LaunchRecord
from orchestrator.results.row_summary import CellRecords, summarise_cell
from orchestrator.results.timeline import timeline_entry

SCHEMA = 1
SUMMARY = "summary.json"


def summarise(directory: Path) -> dict[str, Any]:
    """The summary of one results directory: {"schema", "run", "limits", "reference", "timeline", "rows"}.

    Raises UserError without a journal.
    """
    if not (directory / journal.NAME).is_file():
        raise UserError(f"{directory} holds no {journal.NAME}: name a directory that `./benchmark.sh run` wrote")
    records = list(journal.read(directory))
    runs = [record for record in records if record["kind"] == "run"]
    if not runs:
        raise UserError(f"{directory / journal.NAME} holds no run")
    for run in runs:
        if run.get("schema") != journal.SCHEMA:
            raise UserError(
                f"{directory / journal.NAME} has schema {run.get('schema')!r}, this suite reads schema "
                f"{journal.SCHEMA}: read it with the suite that wrote it"
            )
    end = records[-1]["outcome"] if records[-1]["kind"] == "end" else "interrupted"  # killed before it could say so
    models = _models(records)
    limits, identity, model = read_limits(directory), journal.identity(directory), models[-1]
    rows, timeline = [], {}
    for cell in _cells(directory, records, list(zip(runs, models, strict=True)), end):
        rows.append(summarise_cell(cell, limits, identity["run_id"]).as_json())
        for record in cell.attempts:
            launch = cell.launches[record["directory"]]
            timeline[record["directory"]] = timeline_entry(cell.cell, record, launch)
    return {
        "schema": SCHEMA,
        "run": {
            **{key: value for key, value in runs[-1].items() if key not in ("kind", "cells", "schema")},
            "started": runs[0]["time"],
            "end": end,
            "model": {key: model[key] for key in ("name", "digest", "synthetic", "parameters")} if model else None,
            "directory": str(directory.resolve()),
            **identity,
            "images": {record["image"]: record["image_id"] for record in records if record["kind"] == "cell"},
        },
        "limits": limits,
        "reference": next((r["reference"] for r in reversed(records) if r["kind"] == "standards"), None),
        "timeline": [timeline[record["directory"]] for record in records if record["kind"] == "launch"],
        "rows": rows,
    }


def _cells(
    directory: Path, records: list[dict[str, Any]], runs: list[tuple[dict[str, Any], dict[str, Any] | None]], end: str
) -> Iterator[CellRecords]:
    """The records of every cell. One at a time, since the files of its launches are kept in memory."""
    requested = {}
    for run, model in runs:  # a resumed run may add cells, of another device or model; earlier ones stay
        requested.update({cell["label"]: (cell, run, model) for cell in run["cells"]})
    of_label: dict[str, dict[str, list[dict[str, Any]]]] = {label: defaultdict(list) for label in requested}
    for record in records:
        if record.get("label") in of_label:
            of_label[record["label"]][record["kind"]].append(record)
    for label, (cell, run, model) in requested.items():
        kinds = of_label[label]
        yield CellRecords(
            directory,
            cell,
            run,
            model,
            planned=kinds["cell"][-1] if kinds["cell"] else None,
            ended=kinds["cell_end"][-1] if kinds["cell_end"] else None,
            attempts=kinds["launch"],
            launches={path: LaunchRecord(directory / path) for path in (item["directory"] for item in kinds["launch"])},
            own={record["block"]: record for record in kinds["own_benchmark"]},
            end=end,
        )


def _models(records: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """The model of each run; one that ended before it had read its model takes that of the run before."""
    models: list[tuple[str, dict[str, Any] | None]] = []  # as --model named it, and its record
    for record in records:
        if record["kind"] == "run":
            previous = models[-1][1] if models and models[-1][0] == record["model"] else None
            models.append((record["model"], previous))
        elif record["kind"] == "model":
            models[-1] = (models[-1][0], record)
    return [model for _, model in models]


def seed_of(directory: Path) -> int:
    """The seed of a run's order of launches, which a resumed run keeps. Raises UserError without a run."""
    for record in journal.read(directory):
        if record["kind"] == "run":
            seed: int = record["seed"]
            return seed
    raise UserError(f"{directory / journal.NAME} holds no run")
