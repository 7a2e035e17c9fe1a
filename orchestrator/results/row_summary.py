"""One row of summary.json, from a cell's records and launches."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.base import stats
from orchestrator.base.outcomes import OUTCOMES, Flag, Outcome
from orchestrator.judge.cell_verdict import CellVerdict, judge_cell
from orchestrator.judge.own_speed import SpeedPair, compare_with_own
from orchestrator.judge.speed import QUANTILES
from orchestrator.results.launch_record import LaunchRecord
from orchestrator.results.metrics.registry import METRICS
from orchestrator.results.row_record import RowRecord
from orchestrator.sandbox.task import tail

QUALITY_UNKNOWN = dict.fromkeys(("tokens", "kl", "kl_p99", "top1", "perplexity", "reference_perplexity"))
LOG_LINES, LOG_LIMIT = 20, 4000  # lines and characters of a failed launch's log that a row keeps
DRIFT = 0.05  # relative change of the speed from the first block to the last, if every step has the same sign


@dataclass(frozen=True)
class CellRecords:
    """The journal's records of one cell, and its launches' files.

    cell, run:  of the last `run` record that requested it
    model:      None if a run ended before it had read its model
    planned:    the last `cell` record, None without one
    ended:      the last `cell_end` record, None without one
    attempts:   all its `launch` records;  latest: the last of them for each planned block
    launches:   the files of `attempts`, by directory
    own:        `own_benchmark` records by block
    end:        how the whole run ended
    """

    directory: Path
    cell: dict[str, Any]
    run: dict[str, Any]
    model: dict[str, Any] | None
    planned: dict[str, Any] | None
    ended: dict[str, Any] | None
    attempts: list[dict[str, Any]]
    launches: dict[str, LaunchRecord]
    own: dict[int, dict[str, Any]]
    end: str

    @cached_property
    def latest(self) -> dict[int, dict[str, Any]]:
        """The launch that counts of each block, by block."""
        keys = self.planned["keys"] if self.planned else []
        latest = {record["block"]: record for record in self.attempts if record["key"] in keys}
        return dict(sorted(latest.items()))

    @cached_property
    def measured(self) -> dict[int, LaunchRecord]:
        """The launches that are ok, by block."""
        return {
            block: self.launches[record["directory"]]
            for block, record in self.latest.items()
            if record["outcome"] == Outcome.OK
        }

    def of_plan(self, name: str) -> Any:
        """A field of `planned`; None if it is unknown."""
        return (self.planned or {}).get(name)

    @property
    def failed(self) -> dict[str, Any] | None:
        """The record of the first block that is not ok."""
        return next((record for record in self.latest.values() if record["outcome"] != Outcome.OK), None)


def summarise_cell(records: CellRecords, limits: dict[str, Any] | None, run_id: str) -> RowRecord:
    """The row. `limits` are those of the device."""
    launches = list(records.measured.values())
    own = compare_with_own(_speed_pairs(records))
    verdict = judge_cell(*_outcome(records), [record["gates"] for record in records.latest.values()], own)
    utilisation = _mfu(launches, limits)
    return RowRecord.from_fields(
        {
            **_contender(records, launches),
            **_ending(records, verdict, launches),
            **_figures(launches),
            **utilisation,
            "gates": verdict.gates,
            "own_benchmark": own and own.as_json(),
            "flags": _flags(records, launches, utilisation["mfu"]),
            **_caveat(records),
            **_provenance(records, launches),
            "run_id": run_id,
        }
    )


def _contender(records: CellRecords, launches: list[LaunchRecord]) -> dict[str, Any]:
    """Which engine, on which work, where."""
    cell, run, model = records.cell, records.run, records.model
    loaded = launches[0].loaded if launches else None
    ready_made = records.of_plan("ready_made") or {}
    names = ("engine", "title", "variant", "precision", "scheme", "settings", "batch_size", "prompt_tokens")
    return {
        **{name: cell[name] for name in (*names, "new_tokens")},
        "engine_version": loaded.version if loaded else cell["declared_version"],
        "model": model["name"] if model else run["model"],
        "device": run["device"]["kind"],
        "device_name": run["device"]["name"],
        "machine": run["hostname"],
        "isolation": run["isolation"],
        "threads": loaded.threads if loaded else run["threads"],
        "workload": records.of_plan("workload"),
        **{f"artefact_{name}": ready_made.get(name) for name in ("scheme", "source", "revision", "digest")},
    }


def _ending(records: CellRecords, verdict: CellVerdict, launches: list[LaunchRecord]) -> dict[str, Any]:
    """How it ended, and how much was measured."""
    failed = records.failed
    log = tail(records.directory / failed["directory"] / "stderr.log", LOG_LINES)[-LOG_LIMIT:] if failed else None
    return {
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "log_tail": log or None,
        "started": min((record["started"] for record in records.attempts), default=records.run["time"]),
        "launches": len(launches),
        "blocks": list(records.measured),
        "repeated_launches": max(0, len(records.attempts) - len(records.latest)),
        "iterations": sum(len(launch.speed["decode_tps"]) for launch in launches),
    }


def _outcome(records: CellRecords) -> tuple[Outcome, str | None]:
    """The outcome of the launches, with its reason: that of a failed one, or ok if every planned launch is."""
    if records.failed:
        return OUTCOMES[records.failed["outcome"]], records.failed["reason"]
    wanted = len(records.planned["keys"]) if records.planned else 0
    if records.planned and len(records.latest) == wanted:
        return Outcome.OK, None
    if records.ended and not records.latest:
        return OUTCOMES[records.ended["outcome"]], records.ended["reason"]
    name = records.end if records.end in (Outcome.HARNESS_ERROR, Outcome.DISK_FULL) else Outcome.INTERRUPTED
    return OUTCOMES[name], f"{len(records.latest)} of {wanted} launches were measured; `--resume` measures the rest"


def _speed_pairs(records: CellRecords) -> list[SpeedPair]:
    """The launches after which the engine's own benchmark was run."""
    pairs = []
    for block, launch in records.measured.items():
        if block in records.own:
            own = records.own[block]
            speed = launch.speed
            ours = (median(speed["decode_tps"]), median(speed["prefill_tps"])) if speed["decode_tps"] else None
            theirs = (own["decode_tps"], own["prefill_tps"]) if own["decode_tps"] else None
            pairs.append(SpeedPair(ours, theirs, launch.loaded.weight_bytes, own["reason"]))
    return pairs


def _figures(launches: list[LaunchRecord]) -> dict[str, Any]:
    """Every metric of launches, and the values that belong to them."""
    metrics = {metric.field: metric.of_launches(launches) for metric in METRICS.values() if metric.of_launch}
    first = launches[0] if launches else None
    return {
        **metrics,
        "itl_quantiles": _quantiles([step for launch in launches for step in launch.speed["steps_s"]]),
        "peak_device_source": first and first.analysis.get("peak_device_source"),
        "energy_validity": first and first.analysis.get("energy_validity"),
        "each_launch": {metric.field: metric.by_launch(launches) for metric in METRICS.values() if metric.listed},
        "bandwidth_gbs": _median([launch.bandwidth_gbs for launch in launches]),
        "step_bytes": first and first.analysis.get("reads"),
        "quality": _quality(launches),
        "quality_reason": _first_known(launches, "quality_reason"),
        "answers": _first_known(launches, "answers"),
        "loaded": first and vars(first.loaded),
    }


def _flags(records: CellRecords, launches: list[LaunchRecord], mfu: float | None) -> list[str]:
    """What a reader must know of the row, sorted."""
    flags = {flag for launch in launches for flag in launch.flags}
    conditions = {
        Flag.DRIFT: _is_drifting(launches),
        Flag.SYNTHETIC_WEIGHTS: records.model and records.model["synthetic"],
        Flag.NOT_A_MEASUREMENT: not records.run["is_measurement"],
        Flag.CAVEAT: _caveat(records)["caveat"],
        Flag.UNVERIFIED: not records.cell["verified"],
        Flag.READY_MADE: records.of_plan("ready_made"),
        Flag.ABOVE_PEAK: mfu and mfu > 1,
    }
    return sorted(str(flag) for flag in flags | {flag for flag, holds in conditions.items() if holds})


def _caveat(records: CellRecords) -> dict[str, str | None]:
    """The notes in engine.yaml on this variant and on this model's architecture."""
    of_architecture = records.of_plan("architecture") or {}
    notes = [note for note in (records.cell["caveat"], of_architecture.get("note")) if note]
    return {"caveat": "; ".join(notes) or None, "link": records.cell["link"] or of_architecture.get("link")}


def _is_drifting(launches: list[LaunchRecord]) -> bool:
    """Whether every launch was faster, or every one slower, than the one before, by more than DRIFT in total."""
    speeds = [median(launch.speed["decode_tps"]) for launch in launches if launch.speed["decode_tps"]]
    if len(speeds) < stats.MIN_LAUNCHES:
        return False
    steps = [later > earlier for earlier, later in itertools.pairwise(speeds)]
    return len(set(steps)) == 1 and abs(speeds[-1] / speeds[0] - 1) > DRIFT


def _mfu(launches: list[LaunchRecord], limits: dict[str, Any] | None) -> dict[str, Any]:
    """Prefill operations per second over the peak of the products' dtype, or over float32's if that is higher.

    An engine may widen 16-bit weights to float32, and a quantised variant's products may run in any dtype: the largest
    peak that may apply counts, so that mfu is never too high. There is no peak of float8: GPUs that compute in it do so
    as fast as in int8.
    """
    peaks = {name: peak["gflops"] for name, peak in (limits["matmul"] if limits else {}).items()}
    values = [
        launch.analysis["prefill_flops"] / median(launch.speed["ttft_s"])
        for launch in launches
        if launch.analysis.get("prefill_flops")
    ]
    if not values or not peaks:
        return {"mfu": None, "mfu_dtype": None}
    loaded = launches[0].loaded
    own = "int8" if loaded.quantization else loaded.dtype
    if own not in peaks:
        return {"mfu": None, "mfu_dtype": None}
    dtype = max(peaks if loaded.quantization else {own, "float32"} & peaks.keys(), key=lambda name: peaks[name])
    return {"mfu": median(values) / (peaks[dtype] * 1e9), "mfu_dtype": dtype}


def _quality(launches: list[LaunchRecord]) -> dict[str, Any] | None:
    """The examined launch's figures, and the greedy agreement of all launches; None if nothing was compared."""
    compared = _first_known(launches, "quality")
    match = _median([launch.analysis.get("greedy_match") for launch in launches])
    if compared is None and match is None:
        return None
    return {**(compared or QUALITY_UNKNOWN), "greedy_match": match}


def _provenance(records: CellRecords, launches: list[LaunchRecord]) -> dict[str, Any]:
    """What was measured; the script that repeats the first launch with plain commands, and its text."""
    origin = {
        "image": records.of_plan("image"),
        "image_id": records.of_plan("image_id"),
        "artefact": (records.of_plan("artefact") or {}).get("name"),
    }
    if not launches:
        return origin
    script = launches[0].directory / "reproduce.sh"
    text = script.read_text(encoding="utf-8").strip() if script.is_file() else None
    return {**origin, "reproduce": str(script.relative_to(records.directory)), "reproduce_commands": text}


def _quantiles(steps: list[float]) -> dict[str, Any] | None:
    """Of all measured steps of all launches: {"count", "shares", "seconds"}; None if the engine does not stream."""
    if not steps:
        return None
    seconds = [stats.percentile(steps, share) for share in QUANTILES]
    return {"count": len(steps), "shares": list(QUANTILES), "seconds": seconds}


def _first_known(launches: list[LaunchRecord], name: str) -> Any:
    """The value of `name` in the first analysis that has one."""
    return next((launch.analysis[name] for launch in launches if launch.analysis.get(name)), None)


def _median(values: list[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return median(measured) if measured else None
