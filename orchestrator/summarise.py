"""From a run's journal and its launches' files to the rows of summary.json."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator import journal, stats
from orchestrator.errors import UserError
from orchestrator.metrics import METRICS, launch_metrics, read_samples

SCHEMA = 1
MIB = 1024 * 1024
OPEN_GATES = ("physics", "agreement", "cold_prefix", "self_calibration")  # not implemented yet: shown as such


def summarise(directory: Path) -> dict[str, Any]:
    """The summary of one results directory: {"schema", "run", "limits", "rows"}.

    Raises UserError where there is no journal.
    """
    if not (directory / journal.NAME).is_file():
        raise UserError(f"{directory} holds no {journal.NAME}: name a directory that `./benchmark.sh run` wrote")
    records = list(journal.read(directory))
    runs = [record for record in records if record["kind"] == "run"]
    if not runs:
        raise UserError(f"{directory / journal.NAME} holds no run")
    end = records[-1]["outcome"] if records[-1]["kind"] == "end" else "interrupted"  # killed before it could say so
    models = _models(records)
    cells: dict[str, tuple[dict, dict, dict | None]] = {}
    for run, model in zip(runs, models, strict=True):  # a resumed run may ask for more, of another device or model;
        cells.update({cell["label"]: (cell, run, model) for cell in run["cells"]})  # what was before stays what it was
    rows = [_row(cell, directory, records, run, model, end) for cell, run, model in cells.values()]
    model = models[-1]
    return {
        "schema": SCHEMA,
        "run": {
            **{key: value for key, value in runs[-1].items() if key not in ("kind", "cells", "schema")},
            "started": runs[0]["time"],
            "end": end,
            "model": {key: model[key] for key in ("name", "digest", "synthetic", "parameters")} if model else None,
            "directory": str(directory.resolve()),
            "images": {record["image"]: record["image_id"] for record in records if record["kind"] == "cell"},
        },
        "limits": None,
        "rows": rows,
    }


def _models(records: list[dict]) -> list[dict | None]:
    """The model of each run; one that ended before it had read its model takes that of the run before."""
    found: list[tuple[str, dict | None]] = []
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
            return record["seed"]
    raise UserError(f"{directory / journal.NAME} holds no run")


def _row(cell, directory: Path, records: list[dict], run: dict, model: dict | None, end: str) -> dict[str, Any]:
    planned = next((r for r in reversed(records) if r["kind"] == "cell" and r["label"] == cell["label"]), None)
    latest: dict[int, dict] = {}
    every = [r for r in records if r["kind"] == "launch" and r["label"] == cell["label"]]
    for record in every:
        if planned and record["key"] in planned["keys"]:
            latest[record["block"]] = record
    outcome, reason = _outcome(cell, records, planned, latest, end)
    measured = [
        _launch(directory / record["directory"]) for _, record in sorted(latest.items()) if record["outcome"] == "ok"
    ]
    flags = {flag for launch in measured for flag in launch["flags"]}
    if model and model["synthetic"]:
        flags.add("synthetic_weights")
    if not run["is_measurement"]:
        flags.add("not_a_measurement")
    if cell["caveat"]:
        flags.add("caveat")
    if not cell["verified"]:
        flags.add("unverified")
    first = measured[0] if measured else {}
    return {
        "engine": cell["engine"],
        "title": cell["title"],
        "engine_version": first.get("version", cell["declared_version"]),
        "variant": cell["variant"],
        "precision": cell["precision"],
        "scheme": cell["scheme"],
        "settings": cell["settings"],
        "model": model["name"] if model else run["model"],
        "device": run["device"]["kind"],
        "device_name": run["device"]["name"],
        "machine": run["hostname"],
        "isolation": run["isolation"],
        "batch_size": cell["batch_size"],
        "prompt_tokens": cell["prompt_tokens"],
        "new_tokens": cell["new_tokens"],
        "threads": first.get("threads", run["threads"]),
        "workload": planned["workload"] if planned else None,
        "outcome": outcome,
        "reason": reason,
        "launches": len(measured),
        "iterations": sum(len(launch["decode_tps"]) for launch in measured),
        **{name: _metric(name, measured) for name in METRICS},
        "itl_p90_s": _median(measured, "itl_p90_s"),
        "itl_p99_s": _median(measured, "itl_p99_s"),
        "load_s": _median(measured, "load_s"),
        "first_generate_s": _median(measured, "first_generate_s"),
        "weights_mib": _median(measured, "weights_mib"),
        "kv_mib": _median(measured, "kv_mib"),
        "peak_host_mib": _median(measured, "peak_host_mib", max),
        "peak_mapped_file_mib": _median(measured, "peak_mapped_file_mib", max),
        "peak_device_mib": None,
        "energy_j_per_token": None,
        "mbu": None,
        "mfu": None,
        "quality": None,
        "loaded": first.get("loaded"),
        "gates": {**(list(latest.values())[-1]["gates"] if latest else {}), **dict.fromkeys(OPEN_GATES, "not checked")},
        "flags": sorted(flags),
        "caveat": cell["caveat"],
        "link": cell["link"],
        "image": planned["image"] if planned else None,
        "image_id": planned["image_id"] if planned else None,
        **_reproduction(directory, first),
    }


def _reproduction(directory: Path, first: dict[str, Any]) -> dict[str, str | None]:
    """The script that repeats the first launch with plain commands, and its text."""
    if not first:
        return {"reproduce": None, "reproduce_commands": None}
    script = Path(first["directory"]) / "reproduce.sh"
    text = script.read_text(encoding="utf-8").strip() if script.is_file() else None
    return {"reproduce": str(script.relative_to(directory)), "reproduce_commands": text}


def _outcome(cell, records, planned, latest: dict[int, dict], end: str) -> tuple[str, str | None]:
    """One word for the cell: a failed launch's, or ok if every planned launch is."""
    for _, record in sorted(latest.items()):
        if record["outcome"] != "ok":
            return record["outcome"], record["reason"]
    if planned and len(latest) == len(planned["keys"]):
        return "ok", None
    ended = next((r for r in reversed(records) if r["kind"] == "cell_end" and r["label"] == cell["label"]), None)
    if ended and not latest:
        return ended["outcome"], ended["reason"]
    word = "interrupted" if end != "harness_error" else "harness_error"
    wanted = len(planned["keys"]) if planned else 0
    return word, f"{len(latest)} of {wanted} launches were measured; `--resume` measures the rest"


def _launch(directory: Path) -> dict[str, Any]:
    """What one good launch measured."""
    result = json.loads((directory / "out" / "result.json").read_text(encoding="utf-8"))
    job = json.loads((directory / "job.json").read_text(encoding="utf-8"))
    metrics = launch_metrics(read_samples(directory / "out" / "samples.jsonl"), job, result["streams"])
    loaded, memory = result["loaded"], result["memory"]
    if not result["warmup"]["steady"]:
        metrics["flags"].append("not_steady")
    if not result["streams"]:
        metrics["flags"].append("not_streamed")
    return {
        **metrics,
        "directory": str(directory),
        "version": loaded["version"],
        "threads": loaded["threads"],
        "loaded": loaded,
        "load_s": result["load_s"],
        "first_generate_s": result["first_generate_s"],
        "weights_mib": loaded["weight_bytes"] / MIB,
        "kv_mib": None if loaded["kv_bytes"] is None else loaded["kv_bytes"] / MIB,
        "peak_host_mib": memory["peak_host_mib"],
        "peak_mapped_file_mib": memory.get("peak_mapped_file_mib"),
    }


def _metric(name: str, measured: list[dict]) -> dict[str, Any] | None:
    launches = [median(launch[name]) for launch in measured if launch[name]]
    return stats.summary(launches, [value for launch in measured for value in launch[name]])


def _median(measured: list[dict], name: str, how=median) -> float | None:
    values = [launch[name] for launch in measured if launch[name] is not None]
    return how(values) if values else None
