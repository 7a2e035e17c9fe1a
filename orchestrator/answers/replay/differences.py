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
    """Something that has to be the same and is not, and what to do about it."""

    what: str
    original: str
    here: str
    remedy: str


# -- what must be the same -------------------------------------------------------------------------------------------


def machine_differences(there: RecordedRow, device: Device | None, host: dict[str, Any], why: str) -> list[Difference]:
    """Device and processor. `device` is None where this machine has none of that kind, `why` says what was found."""
    was, found = there.run["device"], []
    remedy = "replay on the machine that measured it; to measure this one use `run`"
    if device is None or (device.kind, device.name) != (was["kind"], was["name"]):
        here = f"{device.kind} - {device.name}" if device else why
        found.append(Difference("device", f"{was['kind']} - {was['name']}", here, remedy))
    for key in PROCESSOR:
        before, now = there.run["host"].get(key), host.get(key)
        if before != now and None not in (before, now):
            found.append(Difference(key.replace("_", " "), str(before), str(now), remedy))
    return found


def model_differences(there: RecordedRow, model: Model) -> list[Difference]:
    """The model's hash, and which of its files are others."""
    if model.digest == there.model["digest"]:
        return []
    before, now = there.model["manifest"], model.manifest
    others = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    named = f" ({', '.join(others[:3])}{' and others' if len(others) > 3 else ''})" if others else ""
    return [
        Difference(
            "model", there.model["digest"][:12], model.digest[:12] + named,
            "bring the files that were measured, and name their directory or revision with --model",
        )
    ]  # fmt: skip


def image_differences(there: RecordedRow, prepared: Prepared) -> list[Difference]:
    """An image of the same id, or one rebuilt with the same name: the name is a hash over all that goes into it."""
    planned = there.planned
    if prepared.id == planned["image_id"] or prepared.tag == planned["image"]:
        return []
    remedy = f"{check_out(there)}, or bring the image itself (`docker save`, `docker load`)"
    if there.run["isolation"] == "venv":
        remedy = check_out(there)
    return [Difference("image", planned["image"], prepared.tag, remedy)]


def artefact_differences(there: RecordedRow, artefact: Path | None) -> list[Difference]:
    """What the engine loads; nothing is known of runs older than the record of it."""
    was, here = there.planned.get("artefact"), identity(artefact)
    if was is None or here is None or was["digest"] == here["digest"]:
        return []
    remedy = f"{check_out(there)}, or bring {was['name']} from the other machine's .cache/artefacts"
    return [Difference("artefact", was["digest"][:12], here["digest"][:12], remedy)]


def job_differences(there: RecordedRow, cell: Cell, threads: int) -> list[Difference]:
    """The job that this version of the suite would give for the same ids, thread count and repetitions."""
    job = there.job
    mine = with_gates(make_job(cell, job.device, job.model, job.prompts, job.repetitions, threads))
    return [
        Difference(f"job: {name}", _short(value), _short(getattr(mine, name)), check_out(there))
        for name, value in sorted(vars(job).items())
        if value != getattr(mine, name)
    ]


def launch_differences(there: RecordedRow, count: int) -> list[Difference]:
    """Both sides need an interval."""
    needed = stats.MIN_LAUNCHES
    before = there.row["launches"]
    found = []
    if before < needed:
        remedy = f"measure it with --profile standard first: an interval needs {needed} launches"
        found.append(Difference("launches of the original", str(before), f"{needed} needed", remedy))
    if count < needed:
        found.append(Difference("launches", str(before), str(count), f"use --launches {needed} or more"))
    return found


def loaded_differences(there: RecordedRow, row: dict[str, Any]) -> list[Difference]:
    """What the engine said that it loaded, and with how many threads it ran."""
    before, now = there.row, row
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


def noted(there: RecordedRow, host: dict[str, Any], prepared: Prepared) -> list[str]:
    """What may move a figure and is no reason to refuse one."""
    before = there.run["host"]
    found = [
        f"{key.replace('_', ' ')}: {before[key]} there, {host[key]} here"
        for key in NOTED
        if key in before and key in host and before[key] != host[key]
    ]
    if "artefact" not in there.planned:
        found.append("the original does not say which artefact it loaded: compared by what the engine loaded")
    if prepared.id != there.planned["image_id"] and prepared.tag == there.planned["image"]:
        found.append(f"image {prepared.tag} was rebuilt: the same content under another id")
    return found


# -- the verdict -----------------------------------------------------------------------------------------------------


def compare_tokens(before: list[Path], now: list[Path]) -> tuple[bool | None, str]:
    """(identical, in words); None where they cannot be compared."""
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
    """(word, reason). `ratio` is what stats.unpaired gives, None where nothing was measured; `failure` says why."""
    if differences:
        return NOT_COMPARABLE, "not the same: " + ", ".join(dict.fromkeys(each.what for each in differences))
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
    there: RecordedRow, again: RecordedRow | None, differences: list[Difference], notes: list[str], tolerance: float,
    failure: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Both figures and the verdict, JSON-serialisable. `again` is None where nothing was measured."""
    ratio = None
    tokens: tuple[bool | None, str] = (None, "not compared: nothing was measured")
    if again is not None:
        ratio = stats.unpaired(again.row[METRIC]["values"], there.row[METRIC]["values"])
        tokens = compare_tokens(there.launches, again.launches)
    word, reason = replay_verdict(differences, ratio, tokens, tolerance, failure)
    return {
        "schema": 1, "verdict": word, "reason": reason, "label": there.label, "engine": there.row["engine"],
        "variant": there.row["variant"], "workload": there.planned["workload"], "metric": METRIC,
        "tolerance": tolerance, "ratio": ratio and ratio.as_json(),
        "tokens": {"identical": tokens[0], "detail": tokens[1]},
        "original": _side(there), "replay": _side(again) if again else None,
        "differences": [asdict(each) for each in differences], "notes": notes,
    }  # fmt: skip


def _side(side: RecordedRow) -> dict[str, Any]:
    row = side.row
    return {
        "directory": str(side.directory), "time": side.run["time"], "machine": row["machine"],
        "device": row["device_name"], "threads": row["threads"], "image": row["image"], "image_id": row["image_id"],
        "model": side.model["digest"], "launches": row["launches"], METRIC: row[METRIC], "ttft_s": row["ttft_s"],
        "prefill_tps": row["prefill_tps"], "flags": row["flags"],
    }  # fmt: skip


def render(found: dict[str, Any], there: RecordedRow) -> str:
    """The conclusion for a terminal."""
    lines = [f"replay of {found['engine']} {found['variant']} - {workload_title(there.row)}"]
    sides = [("original", found["original"]), ("replay", found["replay"])]
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
    if found["ratio"]:
        ratio = Interval(**found["ratio"])
        level = ", no interval" if ratio.level is None else f" at level {ratio.level:.4f}"
        lines.append(f"  ratio     {ratio}{level}; tolerance 1 ± {found['tolerance']:g}")
        lines.append(f"  tokens    {found['tokens']['detail']}")
    lines += [f"  noted     {note}" for note in found["notes"]]
    for each in found["differences"]:
        lines.append(f"  differs   {each['what']}: {each['original']} there, {each['here']} here")
        lines.append(f"            -> {each['remedy']}")
    return "\n".join([*lines, f"{found['verdict']}: {found['reason']}"])


def check_out(there: RecordedRow) -> str:
    """What to do where the suite itself has changed since."""
    commit = (there.run["host"].get("suite") or {}).get("commit")
    return CHECK_OUT.format(commit=commit[:12]) if commit else "replay with the version of the suite that measured it"


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
