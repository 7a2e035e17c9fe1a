"""From a run's journal and its launches' files to the rows of summary.json."""

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

    Raises UserError where there is no journal.
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
    limits, which, model = read_limits(directory), journal.identity(directory), models[-1]
    rows, timeline = [], {}
    for cell in _cells(directory, records, list(zip(runs, models, strict=True)), end):
        rows.append(summarise_cell(cell, limits, which["run_id"]).as_json())
        for record in cell.every:
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
            **which,
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
    """What the journal holds of every cell. One at a time: the files of its launches are in memory meanwhile."""
    asked = {}
    for run, model in runs:  # a resumed run may ask for more, of another device or model; what was before stays
        asked.update({cell["label"]: (cell, run, model) for cell in run["cells"]})
    of_label: dict[str, dict[str, list[dict[str, Any]]]] = {label: defaultdict(list) for label in asked}
    for record in records:
        if record.get("label") in of_label:
            of_label[record["label"]][record["kind"]].append(record)
    for label, (cell, run, model) in asked.items():
        kinds = of_label[label]
        yield CellRecords(
            directory,
            cell,
            run,
            model,
            planned=kinds["cell"][-1] if kinds["cell"] else None,
            ended=kinds["cell_end"][-1] if kinds["cell_end"] else None,
            every=kinds["launch"],
            launches={each["directory"]: LaunchRecord(directory / each["directory"]) for each in kinds["launch"]},
            own={record["block"]: record for record in kinds["own_benchmark"]},
            end=end,
        )


def _models(records: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """The model of each run; one that ended before it had read its model takes that of the run before."""
    found: list[tuple[str, dict[str, Any] | None]] = []
    for record in records:
        if record["kind"] == "run":
            known = found[-1][1] if found and found[-1][0] == record["model"] else None
            found.append((record["model"], known))
        elif record["kind"] == "model":
            found[-1] = (found[-1][0], record)
    return [model for _, model in found]


def seed_of(directory: Path) -> int:
    """The seed of a run's order of launches, so that a resumed run keeps it. Raises UserError where there is no run."""
    for record in journal.read(directory):
        if record["kind"] == "run":
            seed: int = record["seed"]
            return seed
    raise UserError(f"{directory / journal.NAME} holds no run")
