"""The verdict on a cell that was measured again: reproduced, not reproduced, or not comparable, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.answers.replay import recorded_row
from orchestrator.answers.replay.recorded_row import RecordedRow
from orchestrator.base import stats
from orchestrator.base.outcomes import known_flags
from orchestrator.base.stats import Interval
from orchestrator.machine.detect import Device
from orchestrator.models.model import Model
from orchestrator.plan.cells import Cell
from orchestrator.report import formatting
from orchestrator.results.row import workload_title
from orchestrator.run.convert import identity
from orchestrator.run.job import make_job, with_gates
from orchestrator.sandbox.task import Prepared

REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE = "reproduced", "not reproduced", "not comparable"
TOLERANCE = 0.05
METRIC = "decode_tps"
PROCESSOR = ("cpu_model", "cpu_features_digest", "physical_cores")
NOTED = ("os", "kernel", "governor", "turbo", "cpu_quota", "clock_source", "virtualised")
CHECK_OUT = "check out the suite's commit {commit} and replay there"


@dataclass(frozen=True)
class Difference:
    """A property that must be the same on both sides and is not, and what to do about it."""

    what: str
    original: str
    here: str
    remedy: str


# -- what must be the same ---------------------------------------------------------------------------------------------


def machine_differences(
    original: RecordedRow, device: Device | None, host: dict[str, Any], why: str
) -> list[Difference]:
    """Device and processor. `device` is None where this machine has none of that kind, for the reason `why`."""
    recorded, differences = original.run["device"], []
    remedy = "replay on the machine that measured it; to measure this one use `run`"
    if device is None or (device.kind, device.name) != (recorded["kind"], recorded["name"]):
        here = f"{device.kind} - {device.name}" if device else why
        differences.append(Difference("device", f"{recorded['kind']} - {recorded['name']}", here, remedy))
    for key in PROCESSOR:
        before, now = original.run["host"].get(key), host.get(key)
        if before != now and None not in (before, now):
            differences.append(Difference(key.replace("_", " "), str(before), str(now), remedy))
    return differences


def model_differences(original: RecordedRow, model: Model) -> list[Difference]:
    """The model's hash, with the names of the files that differ."""
    if model.digest == original.model["digest"]:
        return []
    before, now = original.model["manifest"], model.manifest
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    files = f" ({', '.join(changed[:3])}{' and others' if len(changed) > 3 else ''})" if changed else ""
    return [
        Difference(
            "model", original.model["digest"][:12], model.digest[:12] + files,
            "bring the files that were measured, and name their directory or revision with --model",
        )
    ]  # fmt: skip


def image_differences(original: RecordedRow, prepared: Prepared) -> list[Difference]:
    """The image, unless its id is the same, or its name, which is a hash of everything that it is built from."""
    planned = original.planned
    if prepared.id == planned["image_id"] or prepared.tag == planned["image"]:
        return []
    remedy = f"{check_out(original)}, or bring the image itself (`docker save`, `docker load`)"
    if original.run["isolation"] == "venv":
        remedy = check_out(original)
    return [Difference("image", planned["image"], prepared.tag, remedy)]


def artefact_differences(original: RecordedRow, artefact: Path | None) -> list[Difference]:
    """The file that the engine loads; journals that do not record it are not compared."""
    recorded, here = original.planned.get("artefact"), identity(artefact)
    if recorded is None or here is None or recorded["digest"] == here["digest"]:
        return []
    remedy = f"{check_out(original)}, or bring {recorded['name']} from the other machine's .cache/artefacts"
    return [Difference("artefact", recorded["digest"][:12], here["digest"][:12], remedy)]


def job_differences(original: RecordedRow, cell: Cell, threads: int) -> list[Difference]:
    """The recorded job against the one that this checkout makes of the same ids, thread count and repetitions."""
    job = original.job
    current = with_gates(make_job(cell, job.device, job.model, job.prompts, job.repetitions, threads))
    return [
        Difference(f"job: {name}", _short(value), _short(getattr(current, name)), check_out(original))
        for name, value in sorted(vars(job).items())
        if value != getattr(current, name)
    ]


def launch_differences(original: RecordedRow, count: int) -> list[Difference]:
    """Too few launches for an interval, on either side."""
    needed = stats.MIN_LAUNCHES
    before = original.row["launches"]
    differences = []
    if before < needed:
        remedy = f"measure it with --profile standard first: an interval needs {needed} launches"
        differences.append(Difference("launches of the original", str(before), f"{needed} needed", remedy))
    if count < needed:
        differences.append(Difference("launches", str(before), str(count), f"use --launches {needed} or more"))
    return differences


def loaded_differences(original: RecordedRow, row: dict[str, Any]) -> list[Difference]:
    """What the engine reported to have loaded, its version, and its number of threads."""
    before, now = original.row, row
    pairs = {
        "threads": (before["threads"], now["threads"]),
        "engine version": (before["engine_version"], now["engine_version"]),
        **{f"loaded {key}": ((before["loaded"] or {}).get(key), (now["loaded"] or {}).get(key))
           for key in ("dtype", "quantization", "weight_bytes", "kv_dtype")},
    }  # fmt: skip
    return [
        Difference(name, str(old), str(new), "see job.json and out/result.json of both launches")
        for name, (old, new) in pairs.items()
        if old != new
    ]


def noted(original: RecordedRow, host: dict[str, Any], prepared: Prepared) -> list[str]:
    """Remarks on differences that may affect a figure, but do not prevent a comparison."""
    before = original.run["host"]
    remarks = [
        f"{key.replace('_', ' ')}: {before[key]} there, {host[key]} here"
        for key in NOTED
        if key in before and key in host and before[key] != host[key]
    ]
    if "artefact" not in original.planned:
        remarks.append("the original does not say which artefact it loaded: compared by what the engine loaded")
    if prepared.id != original.planned["image_id"] and prepared.tag == original.planned["image"]:
        remarks.append(f"image {prepared.tag} was rebuilt: the same content under another id")
    return remarks


# -- the verdict -------------------------------------------------------------------------------------------------------


def compare_tokens(before: list[Path], now: list[Path]) -> tuple[bool | None, str]:
    """(whether they are identical, the same in words); None where they cannot be compared."""
    theirs, unsteady = recorded_row.tokens(before)
    if unsteady:
        return None, f"not compared: the original's own launches differ ({unsteady})"
    ours, unsteady = recorded_row.tokens(now)
    if unsteady:
        return False, f"the replay's own launches differ ({unsteady}), the original's do not"
    common = sorted(theirs.keys() & ours.keys())
    if not common:
        return None, "not compared: no iteration was recorded by both"
    for number in common:
        for step, (old, new) in enumerate(zip(theirs[number], ours[number], strict=False)):
            if old != new:
                return False, f"iteration {number}, step {step}: {_short(old)} there, {_short(new)} here"
        if len(theirs[number]) != len(ours[number]):
            return False, f"iteration {number}: {len(theirs[number])} steps there, {len(ours[number])} here"
    return True, f"identical in {len(common)} iterations"


def replay_verdict(
    differences: list[Difference], ratio: Interval | None, tokens: tuple[bool | None, str], tolerance: float,
    failure: str | None = None,
) -> tuple[str, str]:  # fmt: skip
    """(verdict, reason). `ratio` is that of stats.unpaired, None where nothing was measured because of `failure`."""
    if differences:
        return NOT_COMPARABLE, "not the same: " + ", ".join(
            dict.fromkeys(difference.what for difference in differences)
        )
    if failure:
        return NOT_REPRODUCED, f"the replay ended {failure}"
    if ratio is None or ratio.low is None:
        return NOT_COMPARABLE, f"no interval: {stats.MIN_LAUNCHES} good launches are needed on either side"
    interval = f"the ratio's interval {ratio.bounds}"
    lowest, highest = 1 - tolerance, 1 + tolerance
    if ratio.is_beyond(lowest, highest):
        return NOT_REPRODUCED, f"{interval} lies outside 1 ± {tolerance:g}"
    if not ratio.is_within(lowest, highest):
        return NOT_REPRODUCED, (
            f"{interval} reaches beyond 1 ± {tolerance:g}: neither equal nor different is shown; "
            "more --launches, or a quieter machine, narrow it"
        )
    if tokens[0] is False:
        return NOT_REPRODUCED, f"the speed is the same, the greedy tokens are not: {tokens[1]}"
    return REPRODUCED, f"{interval} lies within 1 ± {tolerance:g}"


def conclusion(
    original: RecordedRow, replayed: RecordedRow | None, differences: list[Difference], notes: list[str],
    tolerance: float, failure: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Both figures and the verdict, JSON-serialisable. `replayed` is None where nothing was measured."""
    ratio = None
    tokens: tuple[bool | None, str] = (None, "not compared: nothing was measured")
    if replayed is not None:
        ratio = stats.unpaired(replayed.row[METRIC]["values"], original.row[METRIC]["values"])
        tokens = compare_tokens(original.launches, replayed.launches)
    word, reason = replay_verdict(differences, ratio, tokens, tolerance, failure)
    return {
        "schema": 1, "verdict": word, "reason": reason, "label": original.label, "engine": original.row["engine"],
        "variant": original.row["variant"], "workload": original.planned["workload"], "metric": METRIC,
        "tolerance": tolerance, "ratio": ratio and ratio.as_json(),
        "tokens": {"identical": tokens[0], "detail": tokens[1]},
        "original": _side(original), "replay": _side(replayed) if replayed else None,
        "differences": [asdict(difference) for difference in differences], "notes": notes,
    }  # fmt: skip


def _side(side: RecordedRow) -> dict[str, Any]:
    row = side.row
    return {
        "directory": str(side.directory), "time": side.run["time"], "machine": row["machine"],
        "device": row["device_name"], "threads": row["threads"], "image": row["image"], "image_id": row["image_id"],
        "model": side.model["digest"], "launches": row["launches"], METRIC: row[METRIC], "ttft_s": row["ttft_s"],
        "prefill_tps": row["prefill_tps"], "flags": row["flags"],
    }  # fmt: skip


def render(conclusion: dict[str, Any], original: RecordedRow) -> str:
    """The conclusion for a terminal."""
    lines = [f"replay of {conclusion['engine']} {conclusion['variant']} - {workload_title(original.row)}"]
    sides = [("original", conclusion["original"]), ("replay", conclusion["replay"])]
    for name, side in sides:
        if side is None:
            lines.append(f"  {name:<9} not measured")
            continue
        speed = formatting.speed({"outcome": "ok", METRIC: side[METRIC]})
        lines.append(
            f"  {name:<9} {speed} decode tok/s, TTFT {formatting.milliseconds(side['ttft_s'])} ms, "
            f"{side['launches']} launches, {side['time']}"
        )
        lines += [f"            {flag.note}" for flag in known_flags(side["flags"])]
    if conclusion["ratio"]:
        ratio = Interval(**conclusion["ratio"])
        level = ", no interval" if ratio.level is None else f" at level {ratio.level:.4f}"
        lines.append(f"  ratio     {ratio}{level}; tolerance 1 ± {conclusion['tolerance']:g}")
        lines.append(f"  tokens    {conclusion['tokens']['detail']}")
    lines += [f"  noted     {note}" for note in conclusion["notes"]]
    for difference in conclusion["differences"]:
        lines.append(f"  differs   {difference['what']}: {difference['original']} there, {difference['here']} here")
        lines.append(f"            -> {difference['remedy']}")
    return "\n".join([*lines, f"{conclusion['verdict']}: {conclusion['reason']}"])


def check_out(original: RecordedRow) -> str:
    """The remedy where the suite itself has changed since."""
    commit = (original.run["host"].get("suite") or {}).get("commit")
    return CHECK_OUT.format(commit=commit[:12]) if commit else "replay with the version of the suite that measured it"


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
