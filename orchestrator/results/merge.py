"""Several results in one summary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from orchestrator.base.errors import UserError
from orchestrator.base.escape import one_line
from orchestrator.base.outcomes import OUTCOMES
from orchestrator.base.reading import convert
from orchestrator.judge.speed import SPEEDS
from orchestrator.results import journal, store
from orchestrator.results.store import Part
from orchestrator.results.summary import SCHEMA, SUMMARY, summarise

NEEDED = {  # the fields of a row that every command relies on
    "engine", "title", "engine_version", "variant", "precision", "model", "device", "machine", "isolation",
    "batch_size", "prompt_tokens", "new_tokens", "workload", "outcome", "reason", "launches", "flags", "caveat",
    *SPEEDS,
}  # fmt: skip
ALIKE = ["model", "batch_size", "prompt_tokens", "new_tokens"]


class Summary(msgspec.Struct):
    """summary.json, of one run or of several that were merged."""

    schema: int
    run: dict[str, Any]  # the request, the host, and how the run ended; of the newest run, when merged
    rows: list[dict[str, Any]]  # one for each cell
    limits: dict[str, Any] | None = None  # of the device: bandwidth and matrix product peaks
    reference: dict[str, Any] | None = None  # the float32 reference: engine, version, questions, answers
    timeline: list[dict[str, Any]] | None = None  # one entry for each launch, in the order of the journal
    runs: list[dict[str, Any]] | None = None  # when merged: `run` of each


def load(path: Path) -> dict[str, Any]:
    """The summary of a results directory (from its journal where there is one), a merged directory or a store file."""
    if path.is_file():
        return store.load(path)
    if (path / journal.NAME).is_file():
        try:
            return summarise(path)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: what a launch left is missing or damaged ({type(error).__name__}: "
                f"{one_line(error)}): restore it, or measure into another --out"
            ) from error
    file = path / SUMMARY
    if not file.is_file():
        raise UserError(
            f"{path} holds neither {journal.NAME} nor {SUMMARY}: not a results directory; name one that "
            "`./benchmark.sh run` or `merge` wrote"
        )
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON: {error}; make it anew from the runs with `merge`") from error
    if not isinstance(summary, dict):
        summary = {}
    schema = summary.get("schema")
    if schema != SCHEMA:
        raise UserError(
            f"{file} has schema {schema!r}, this suite reads schema {SCHEMA}: read it with the version of the suite "
            "that wrote it, or `merge` the runs anew"
        )
    try:
        for row in convert(summary, Summary).rows:
            _check_row(row)
    except ValueError as error:
        raise UserError(f"{file} is damaged ({one_line(error)}): restore it, or merge anew") from None
    return summary


def _check_row(row: dict[str, Any]) -> None:
    """Raise ValueError for a row that the commands cannot use."""
    if missing := NEEDED - row.keys():
        raise ValueError(f"a row lacks {', '.join(sorted(missing))}")
    if str(row["outcome"]) not in OUTCOMES:
        raise ValueError(f"a row has the unknown outcome {row['outcome']!r}")


def merge_results(paths: list[Path], say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """One summary with the rows of all. Raises UserError if rows that look alike did different work.

    Rows of different shapes or models go into tables of their own. Rows of the same model name and shape would share a
    table, which they must not if their workload hashes differ (other weights, other prompts). A run that occurs twice
    counts once, with the longer of its journals; `say` gets a line on it.
    """
    parts: dict[str, Part] = {}
    for path in paths:
        for number, part in enumerate(split(load(path), path)):
            key = part.run.get("run_id") or f"{path} {number}"
            if key in parts:
                say(f"{path} holds a run that is there already ({parts[key].run['directory']}): counted once")
                if part.run["journal"]["records"] <= parts[key].run["journal"]["records"]:
                    continue
            parts[key] = part
    summary = store.joined(list(parts.values()))
    _refuse_mixtures(summary["rows"], summary["runs"])
    return summary


def split(summary: dict[str, Any], path: Path) -> list[Part]:
    """The runs of a summary, with `path` as the source of rows and launches that name none.

    Raises UserError for a summary merged by an earlier version of the suite, whose rows do not name their run.
    """
    runs = summary.get("runs") or [summary["run"]]
    times = {run.get("run_id"): run["started"] for run in runs}
    rows = [{"source": str(path), "run_started": times.get(row.get("run_id")), **row} for row in summary["rows"]]
    defaults = {"source": str(path), "run_id": runs[0].get("run_id")}
    timeline = [{**defaults, **launch} for launch in summary.get("timeline") or []]
    if len(runs) == 1:
        return [Part(runs[0], rows, timeline, summary.get("limits"), summary.get("reference"))]
    parts = {run.get("run_id"): Part(run, [], []) for run in runs}
    if None in parts or not all(row.get("run_id") in parts for row in rows):
        raise UserError(f"{path} was merged by an earlier version of the suite: merge the runs themselves anew")
    for row in rows:
        parts[row["run_id"]].rows.append(row)
    for launch in timeline:
        parts[launch["run_id"]].timeline.append(launch)
    return list(parts.values())


def _refuse_mixtures(rows: list[dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    if not rows:
        return
    frame = pd.DataFrame([{key: row.get(key) for key in [*ALIKE, "workload", "source", "run_id"]} for row in rows])
    run_by_id = {run.get("run_id"): run for run in runs}
    for names, group in frame.dropna(subset=["workload"]).groupby(ALIKE):
        distinct = group.drop_duplicates("workload")
        if len(distinct) > 1:
            workloads = ", ".join(f"{row.source} has {row.workload}" for row in distinct.itertuples())
            shape = f"{names[0]}, batch {names[1]}, {names[2]} + {names[3]} tokens"
            cause = _cause([run_by_id.get(row.run_id) for row in distinct.itertuples()])
            raise UserError(
                f"not merged: rows for {shape} did different work: {workloads}; {cause}; measure them anew with one "
                "version of the suite and the model, or keep them apart in one file with --store FILE.duckdb"
            )


def _cause(runs: list[dict[str, Any] | None]) -> str:
    """Which inputs of the workload hash differ: the model's bytes or the prompts."""
    present = [run for run in runs if run]
    models = [model["digest"] for run in present if (model := run.get("model")) and model.get("digest")]
    if len(models) < len(runs):
        return "other model files or prompts"
    if len(set(models)) > 1:
        return "the model's files differ (sha256 " + ", ".join(digest[:12] for digest in models) + ")"
    suites = dict.fromkeys(run["host"]["suite"]["commit"] or "unknown" for run in present)
    commits = f" (suite {', '.join(commit[:12] for commit in suites)})" if len(suites) > 1 else ""
    return f"the model is the same, the prompts differ: another --prompt, or another version of the suite{commits}"
