"""From a run's journal and its launches' files to the rows of summary.json."""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.base import stats
from orchestrator.base.errors import UserError
from orchestrator.base.flags import Flag
from orchestrator.judge.gates import names
from orchestrator.judge.gates.delays import own_benchmark
from orchestrator.judge.speed import QUANTILES, SPEEDS
from orchestrator.machine.measured_limits import read_limits
from orchestrator.results import journal
from orchestrator.results.launch_record import ENERGY, read_launch
from orchestrator.results.timeline import build_timeline
from orchestrator.sandbox.task import tail

SCHEMA = 1
SUMMARY = "summary.json"
QUALITY_UNKNOWN = dict.fromkeys(("tokens", "kl", "kl_p99", "top1", "perplexity", "reference_perplexity"))
LOG_LINES, LOG_LIMIT = 20, 4000  # characters of a failed launch's log that a row keeps; the file has all of it
EACH_LAUNCH = ("peak_host_mib", "peak_mapped_file_mib", "peak_device_mib", "energy_j_per_token")  # in `blocks`' order
DRIFT = 0.05  # of the speed from the first block to the last, where every block goes the same way


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
    cells: dict[str, tuple[dict, dict, dict | None]] = {}
    for run, model in zip(runs, models, strict=True):  # a resumed run may ask for more, of another device or model;
        cells.update({cell["label"]: (cell, run, model) for cell in run["cells"]})  # what was before stays what it was
    limits = read_limits(directory)
    which = journal.identity(directory)
    rows = [
        {**_row(cell, directory, records, run, model, end, limits), "run_id": which["run_id"]}
        for cell, run, model in cells.values()
    ]
    model = models[-1]
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
        "timeline": build_timeline(directory, records),
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


def _row(
    cell, directory: Path, records: list[dict], run: dict, model: dict | None, end: str, limits: dict | None
) -> dict[str, Any]:
    planned = next((r for r in reversed(records) if r["kind"] == "cell" and r["label"] == cell["label"]), None)
    latest: dict[int, dict] = {}
    every = [r for r in records if r["kind"] == "launch" and r["label"] == cell["label"]]
    for record in every:
        if planned and record["key"] in planned["keys"]:
            latest[record["block"]] = record
    outcome, reason = _outcome(cell, records, planned, latest, end)
    blocks = [block for block, record in sorted(latest.items()) if record["outcome"] == "ok"]
    measured = [read_launch(directory / latest[block]["directory"]) for block in blocks]
    flags = {flag for launch in measured for flag in launch["flags"]} | _drifting(measured)
    if model and model["synthetic"]:
        flags.add(Flag.SYNTHETIC_WEIGHTS)
    if not run["is_measurement"]:
        flags.add(Flag.NOT_A_MEASUREMENT)
    of_architecture = (planned or {}).get("architecture") or {}  # what the folder says of this model's architecture
    caveat = "; ".join(note for note in (cell["caveat"], of_architecture.get("note")) if note) or None
    if caveat:
        flags.add(Flag.CAVEAT)
    if not cell["verified"]:
        flags.add(Flag.UNVERIFIED)
    ready_made = (planned or {}).get("ready_made") or {}
    if ready_made:
        flags.add(Flag.READY_MADE)
    first = measured[0] if measured else {}
    used = _mfu(measured, limits)
    if used["mfu"] and used["mfu"] > 1:
        flags.add(Flag.ABOVE_PEAK)
    words, own = _gates(list(latest.values())), _own_benchmark(cell, records, blocks, measured)
    if own:
        words["self_calibration"] = _with_own(words["self_calibration"], own["verdict"])
        if outcome == "ok" and own["verdict"].startswith("fail"):
            outcome, reason = "invalid_output", f"gate self_calibration: {own['verdict'].removeprefix('fail: ')}"
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
        **{f"artefact_{name}": ready_made.get(name) for name in ("scheme", "source", "revision", "digest")},
        "outcome": outcome,
        "reason": reason,
        "log_tail": _log_tail(directory, latest),
        "started": min((record["started"] for record in every), default=run["time"]),
        "launches": len(measured),
        "blocks": blocks,
        "repeated_launches": max(0, len(every) - len(latest)),
        "iterations": sum(len(launch["decode_tps"]) for launch in measured),
        **{name: _metric(name, measured) for name in SPEEDS},
        "itl_quantiles": _quantiles([step for launch in measured for step in launch["steps_s"]]),
        "itl_p90_s": _median(measured, "itl_p90_s"),
        "itl_p99_s": _median(measured, "itl_p99_s"),
        "load_s": _median(measured, "load_s"),
        "first_generate_s": _median(measured, "first_generate_s"),
        "weights_mib": _median(measured, "weights_mib"),
        "kv_mib": _median(measured, "kv_mib"),
        "peak_host_mib": _median(measured, "peak_host_mib", max),
        "peak_mapped_file_mib": _median(measured, "peak_mapped_file_mib", max),
        "kv_needed_mib": _median(measured, "kv_needed_mib"),
        "peak_device_mib": _median(measured, "peak_device_mib", max),
        "peak_device_source": first.get("peak_device_source"),
        **{name: _median(measured, name) for name in ENERGY},
        "energy_validity": first.get("energy_validity"),
        "each_launch": {name: [launch[name] for launch in measured] for name in EACH_LAUNCH},
        "mbu": _median(measured, "mbu"),
        "bandwidth_gbs": _median(measured, "bandwidth_gbs"),
        "step_bytes": first.get("reads"),
        **used,
        "quality": _quality(measured),
        "quality_reason": next((launch["quality_reason"] for launch in measured if launch["quality_reason"]), None),
        "answers": next((launch["answers"] for launch in measured if launch["answers"]), None),
        "loaded": first.get("loaded"),
        "gates": words,
        "own_benchmark": own,
        "flags": sorted(flags),
        "caveat": caveat,
        "link": cell["link"] or of_architecture.get("link"),
        "image": planned["image"] if planned else None,
        "image_id": planned["image_id"] if planned else None,
        "artefact": (planned.get("artefact") or {}).get("name") if planned else None,
        **_reproduction(directory, first),
    }


def _gates(launches: list[dict[str, Any]]) -> dict[str, str]:
    """Each gate's word over all launches of a row: a failure, else a pass, else why it was not checked."""
    found = {}
    for name in names.NAMES:
        words = [record["gates"][name] for record in launches if name in record["gates"]]
        ranked = sorted(words, key=lambda word: (not word.startswith("fail"), not word.startswith("pass")))
        found[name] = ranked[0] if ranked else "not checked: no launch came so far"
    return found


def _own_benchmark(cell: dict, records: list[dict], blocks: list[int], measured: list[dict]) -> dict[str, Any] | None:
    """Our speeds over those of the benchmark that the engine ships, block by block; None where it was not run."""
    told = {r["block"]: r for r in records if r["kind"] == "own_benchmark" and r["label"] == cell["label"]}
    pairs = [(launch, told[block]) for block, launch in zip(blocks, measured, strict=True) if block in told]
    if not pairs:
        return None
    known = [(launch, own) for launch, own in pairs if own["decode_tps"] and launch["decode_tps"]]
    decode = [median(launch["decode_tps"]) / own["decode_tps"] for launch, own in known]
    prefill = [median(launch["prefill_tps"]) / own["prefill_tps"] for launch, own in known]
    if not known:
        return {"decode": None, "prefill": None, "verdict": f"not checked: {pairs[0][1]['reason']}"}
    step_s = 1 / median(median(launch["decode_tps"]) for launch, _ in known)  # batch size 1: a token is a step
    verdict = own_benchmark(decode, known[0][0]["loaded"]["weight_bytes"], step_s)
    return {"decode": stats.summary(decode, decode), "prefill": stats.summary(prefill, prefill), "verdict": verdict}


def _with_own(delays: str, own: str) -> str:
    """One word for the gate: the suite's own delays first; then what the engine's own benchmark adds."""
    if not delays.startswith("pass") or own == "pass":
        return delays
    return own if own.startswith("fail") else f"pass (known delays; {own.removeprefix('not checked: ')})"


def _drifting(measured: list[dict]) -> set[Flag]:
    """`drift` where every launch was faster, or every one slower, than the one before, by more than DRIFT in all."""
    speeds = [median(launch["decode_tps"]) for launch in measured if launch["decode_tps"]]
    if len(speeds) < stats.MIN_LAUNCHES:
        return set()
    steps = [later > earlier for earlier, later in itertools.pairwise(speeds)]
    return {Flag.DRIFT} if len(set(steps)) == 1 and abs(speeds[-1] / speeds[0] - 1) > DRIFT else set()


def _mfu(measured: list[dict], limits: dict | None) -> dict[str, Any]:
    """Prefill operations per second over the peak of the products' dtype, or over float32's where that is higher.

    An engine may widen 16-bit weights to float32, and a quantised variant's products may run in any dtype: the largest
    peak that may apply counts, so that mfu is never too high. float8 has none of its own: GPUs that compute in it do so
    as fast as in int8.
    """
    peaks = {name: peak["gflops"] for name, peak in (limits["matmul"] if limits else {}).items()}
    values = [launch["prefill_flops"] / median(launch["ttft_s"]) for launch in measured if launch["prefill_flops"]]
    if not values or not peaks:
        return {"mfu": None, "mfu_dtype": None}
    loaded = measured[0]["loaded"]
    own = "int8" if loaded["quantization"] else loaded["dtype"]
    if own not in peaks:
        return {"mfu": None, "mfu_dtype": None}
    dtype = max(peaks if loaded["quantization"] else {own, "float32"} & peaks.keys(), key=lambda name: peaks[name])
    return {"mfu": median(values) / (peaks[dtype] * 1e9), "mfu_dtype": dtype}


def _quality(measured: list[dict]) -> dict[str, Any] | None:
    """The examined launch's figures, and the greedy agreement of all launches; None where nothing was compared."""
    compared = next((launch["quality"] for launch in measured if launch["quality"]), None)
    matches = [launch["greedy_match"] for launch in measured if launch["greedy_match"] is not None]
    if compared is None and not matches:
        return None
    return {**(compared or QUALITY_UNKNOWN), "greedy_match": median(matches) if matches else None}


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
    word = end if end in ("harness_error", "disk_full") else "interrupted"
    wanted = len(planned["keys"]) if planned else 0
    return word, f"{len(latest)} of {wanted} launches were measured; `--resume` measures the rest"


def _log_tail(directory: Path, latest: dict[int, dict]) -> str | None:
    """The end of the log of the launch whose failure is the row's outcome."""
    failed = next((record for _, record in sorted(latest.items()) if record["outcome"] != "ok"), None)
    return (tail(directory / failed["directory"] / "stderr.log", LOG_LINES)[-LOG_LIMIT:] or None) if failed else None


def _quantiles(steps: list[float]) -> dict[str, Any] | None:
    """Of all measured steps of all launches: {"count", "shares", "seconds"}; None where nothing streamed."""
    if not steps:
        return None
    seconds = [stats.percentile(steps, share) for share in QUANTILES]
    return {"count": len(steps), "shares": list(QUANTILES), "seconds": seconds}


def _metric(name: str, measured: list[dict]) -> dict[str, Any] | None:
    launches = [median(launch[name]) for launch in measured if launch[name]]
    return stats.summary(launches, [value for launch in measured for value in launch[name]])


def _median(measured: list[dict], name: str, how=median) -> float | None:
    values = [launch[name] for launch in measured if launch[name] is not None]
    return how(values) if values else None
