"""Made-up rows of summary.json, and results directories of them: what `choose` and `compare` read."""

import json
from pathlib import Path

from orchestrator.base import stats
from orchestrator.judge.speed import SPEEDS
from orchestrator.results.summary import SUMMARY

STEADY = (1.0, 0.998, 1.002, 0.999, 1.001)  # five launches of a quiet machine, as shares of the median


def row(engine="alpha", variant="float32", speed=100.0, spread=STEADY, *, peak=1000.0, **changes) -> dict:
    """One row that is ok. `speed` [tokens/s] is its decode speed, `spread` that of its launches; peak in MiB.

    The other figures follow from the speed: a step is 1 / speed, the first token takes ten of them.
    """
    speeds = [speed * each for each in spread]
    values = {
        "decode_tps": speeds, "prefill_tps": [10 * each for each in speeds], "e2e_tps": [0.9 * each for each in speeds],
        "ttft_s": [10 / each for each in speeds], "itl_s": [1 / each for each in speeds],
    }  # fmt: skip
    count = len(speeds)
    made = {
        "engine": engine, "title": engine.title(), "engine_version": "1.0", "variant": variant, "precision": "float32",
        "scheme": variant, "settings": {}, "model": "m", "device": "cpu", "device_name": "Example", "machine": "box",
        "isolation": "venv", "batch_size": 1, "prompt_tokens": 4, "new_tokens": 3, "threads": 2, "workload": "w1",
        "outcome": "ok", "reason": None, "launches": count, "blocks": list(range(count)), "repeated_launches": 0,
        "iterations": 2 * count, "weights_mib": 900.0, "kv_mib": 1.0, "peak_host_mib": peak,
        "peak_mapped_file_mib": 0.0,
        "peak_device_mib": None, "energy_j_per_token": None, "energy_validity": "unreadable: no counter",
        "each_launch": {"peak_host_mib": [peak] * count, "peak_mapped_file_mib": [0.0] * count,
                        "peak_device_mib": [None] * count, "energy_j_per_token": [None] * count},
        "quality": {"kl": 0.001, "top1": 0.99}, "quality_reason": None, "gates": {}, "flags": [], "caveat": None,
        "image": f"venv:{engine}-1", "image_id": f"{engine}-1",
        **{name: stats.summary(values[name], values[name]).as_json() for name in SPEEDS},
    }  # fmt: skip
    return {**made, **changes}


def failed(engine="alpha", variant="float32", outcome="load_failed", reason="no kernel", **changes) -> dict:
    """One row without a figure."""
    return row(engine, variant, **{"outcome": outcome, "reason": reason, "launches": 0, "blocks": [], "workload": None,
                                   **dict.fromkeys(SPEEDS), "peak_host_mib": None, **changes})  # fmt: skip


def directory(path: Path, rows: list[dict]) -> Path:
    """A results directory that holds these rows and no journal, as a merged one does."""
    path.mkdir(parents=True)
    (path / SUMMARY).write_text(json.dumps({"schema": 1, "run": {}, "limits": None, "rows": rows}))
    return path
