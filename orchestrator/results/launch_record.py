"""What one good launch measured, read back from the files that it left."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.base.flags import Flag
from orchestrator.judge import analysis
from orchestrator.judge.samples import read_samples
from orchestrator.judge.speed import launch_metrics

ENERGY = ("energy_j_per_token", "energy_idle_subtracted_j_per_token")
MIB = 1024 * 1024
MOVED = 0.20  # of the bandwidth between the probes before and after a launch
SLOW_FIRST = 1.10  # times the median of the other iterations of a launch


def read_launch(directory: Path) -> dict[str, Any]:
    """What one good launch measured."""
    result = json.loads((directory / "out" / "result.json").read_text(encoding="utf-8"))
    job = json.loads((directory / "job.json").read_text(encoding="utf-8"))
    metrics = launch_metrics(read_samples(directory / "out" / "samples.jsonl"), job, result["streams"])
    loaded, memory = result["loaded"], result["memory"]
    if not result["warmup"]["steady"]:
        metrics["flags"].append(Flag.NOT_STEADY)
    if not result["streams"]:
        metrics["flags"].append(Flag.NOT_STREAMED)
    durations = metrics["e2e_tps"]
    if len(durations) > 2 and median(durations[1:]) > SLOW_FIRST * durations[0]:
        metrics["flags"].append(Flag.SLOW_FIRST)
    worked_out = _evidence(directory)
    probes = [value for value in worked_out["bandwidth_gbs"].values() if value]
    if probes and 1 - min(probes) / max(probes) > MOVED:
        metrics["flags"].append(Flag.BANDWIDTH_MOVED)
    if worked_out["cache_resident"]:
        metrics["flags"].append(Flag.CACHE_RESIDENT)
    return {
        **worked_out,
        **metrics,
        "flags": metrics["flags"] + worked_out["flags"],
        "bandwidth_gbs": max(probes, default=None),
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


def _evidence(directory: Path) -> dict[str, Any]:
    """What the host worked out about a launch; a launch of an earlier version of the suite has none of it."""
    unknown = dict.fromkeys((
        "reads", "kv_needed_mib", "cache_resident", "mbu", "prefill_flops", "quality", "quality_reason", "greedy_match",
        "answers", "peak_device_mib", "peak_device_source", "energy_validity", *ENERGY,
    ))  # fmt: skip
    path = directory / analysis.FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {"bandwidth_gbs": {}, "flags": [], **unknown, **known}
