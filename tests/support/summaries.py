"""A made-up summary.json as rich as a real one: several engines, precisions and shapes, failures, a timeline.

Nothing in it was measured; it is only as plausible as a page needs to be looked at.
"""

import random
from datetime import datetime, timedelta, timezone

from orchestrator.base import stats
from orchestrator.judge.gates.names import NAMES
from tests.support.results_directory import HOST

BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "int8": 8, "int4": 4}
AGREEMENT = {"float32": 1.0, "bfloat16": 0.985, "float16": 0.996, "int8": 0.991, "int4": 0.93}
ENGINES = {"alpha": 0.86, "beta": 0.64, "gamma": 0.41, "delta": 0.73}  # share of the bandwidth that each reaches
PARAMETERS, BANDWIDTH = 160e6, 30e9
START = datetime(2025, 1, 1, tzinfo=timezone.utc)
LOG = "loading /model\n\x1b[31mValueError: hidden size 896 is not divisible by 256\x1b[0m"


def metric(median, rng, launches=5, spread=0.02):
    """A metric as `stats.summary` gives it, of launches that scatter around `median`."""
    values = [median * (1 + rng.gauss(0, spread)) for _ in range(launches)]
    found = stats.summary(values, [value * (1 + rng.gauss(0, spread / 3)) for value in values for _ in range(3)])
    return found and found.as_json()


def row(engine="alpha", precision="float32", seed=0, launches=5, **changes):
    """A row that is ok."""
    rng = random.Random(f"{engine}{precision}{seed}{changes.get('variant')}")
    batch, prompt = changes.get("batch_size", 1), changes.get("prompt_tokens", 128)
    weights = PARAMETERS * BITS[precision] / 8
    steps = ENGINES.get(engine, 0.5) * BANDWIDTH / weights * rng.uniform(0.9, 1.05)
    step, ttft = 1 / steps, prompt * batch * 2 * PARAMETERS / 6e10
    agreement = min(1.0, AGREEMENT[precision] + rng.uniform(-0.004, 0.004)) if precision != "float32" else 1.0
    quantiles = [step * (1 + each) for each in (-0.06, -0.03, -0.01, 0, 0.012, 0.05, 0.4)]
    made = {
        "engine": engine, "title": engine.title(), "engine_version": "1.0", "variant": precision,
        "precision": precision, "scheme": precision, "settings": {}, "model": "m", "device": "cpu",
        "device_name": "Example (2 cores)", "machine": "box", "isolation": "docker", "batch_size": batch,
        "prompt_tokens": prompt, "new_tokens": 128, "threads": 2, "workload": f"w-{batch}-{prompt}", "outcome": "ok",
        "reason": None, "log_tail": None, "started": START.isoformat(), "launches": launches,
        "blocks": list(range(launches)), "repeated_launches": 0, "iterations": 3 * launches,
        "decode_tps": metric(steps * batch**0.8, rng, launches), "prefill_tps": metric(batch * prompt / ttft, rng),
        "e2e_tps": metric(0.9 * steps * batch**0.8, rng), "ttft_s": metric(ttft, rng), "itl_s": metric(step, rng),
        "itl_quantiles": {"count": 1905, "shares": [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], "seconds": quantiles},
        "each_launch": {"peak_host_mib": [], "peak_mapped_file_mib": [], "peak_device_mib": [],
                        "energy_j_per_token": []},
        "itl_p90_s": step * 1.04, "itl_p99_s": step * 1.2, "load_s": rng.uniform(0.3, 6), "first_generate_s": 0.3,
        "weights_mib": weights / 2**20, "kv_mib": 24.0, "peak_host_mib": weights / 2**20 + rng.uniform(150, 700),
        "peak_mapped_file_mib": 60.0, "kv_needed_mib": 12.0, "peak_device_mib": None, "peak_device_source": None,
        "energy_j_per_token": 40 * step * rng.uniform(0.9, 1.1), "energy_idle_subtracted_j_per_token": 22 * step,
        "energy_validity": "ok", "mbu": steps * weights / BANDWIDTH, "bandwidth_gbs": BANDWIDTH / 1e9,
        "step_bytes": {"weight_bytes": int(weights), "kv_bytes": 10**6, "source": "artefact"},
        "mfu": rng.uniform(0.2, 0.7), "mfu_dtype": "float32",
        "quality": {"tokens": 4000, "kl": (1 - agreement) * 0.3, "kl_p99": 0.1, "top1": agreement,
                    "perplexity": 12.1 / agreement, "reference_perplexity": 12.1, "greedy_match": agreement},
        "quality_reason": None, "answers": None,
        "loaded": {"version": "1.0", "dtype": precision, "weight_bytes": int(weights), "quantization": None,
                   "threads": 2, "kv_dtype": None, "kv_bytes": 24 << 20, "extra": {}},
        "gates": dict.fromkeys(NAMES, "pass"), "own_benchmark": None, "flags": [], "caveat": None, "link": None,
        "image": f"llm-bench/{engine}:0123456789ab", "image_id": "sha256:" + "1f" * 32,
        "artefact": None if precision == "float32" else f"{engine}-{precision}-0123456789abcdef",
        "artefact_scheme": None, "artefact_source": None, "artefact_revision": None, "artefact_digest": None,
        "reproduce": f"launches/{engine}-{precision}-1/reproduce.sh",
        "reproduce_commands": "#!/bin/sh\necho again\n", "run_id": "0123456789abcdef",
    }  # fmt: skip
    return {**made, **changes}


MEASURED = ("decode_tps", "prefill_tps", "e2e_tps", "ttft_s", "itl_s", "itl_quantiles", "itl_p90_s", "itl_p99_s",
            "load_s", "first_generate_s", "weights_mib", "kv_mib", "peak_host_mib", "peak_mapped_file_mib",
            "kv_needed_mib", "energy_j_per_token", "energy_idle_subtracted_j_per_token", "mbu", "mfu", "mfu_dtype",
            "bandwidth_gbs", "quality", "step_bytes", "loaded", "reproduce", "reproduce_commands")  # fmt: skip


def failed(engine="beta", precision="int4", outcome="load_failed", reason="ValueError: bad size", log=LOG, **changes):
    """A row whose launch failed."""
    unknown = dict.fromkeys(MEASURED)
    return row(engine, precision, **{
        **unknown, "outcome": outcome, "reason": reason, "log_tail": log, "launches": 0, "blocks": [], "iterations": 0,
        "gates": dict.fromkeys(NAMES, "not checked: no launch came so far"), **changes,
    })  # fmt: skip


def timeline(rows, launches=5, **more):
    """The launches of `rows`, block after block, in a machine that once was busy."""
    rng, entries, at = random.Random(1), [], START
    for block in range(launches):
        for each in rows:
            if each["outcome"] == "unsupported" or (block and each["outcome"] != "ok"):
                continue
            seconds, busy = rng.uniform(8, 25), block == 2 and rng.random() < 0.3
            state = {"foreign_cpu_share": 0.6 if busy else rng.uniform(0, 0.03), "steal_share": rng.uniform(0, 0.01),
                     "bandwidth_gbs": rng.uniform(28.5, 30.5), "cpu_mhz": rng.uniform(2900, 3100)}  # fmt: skip
            entries.append({
                "label": f"{each['engine']}-{each['variant']}", "engine": each["engine"], "title": each["title"],
                "variant": each["variant"], "block": block, "started": at.isoformat(timespec="seconds"),
                "wall_s": seconds, "outcome": each["outcome"], "noisy": busy, "state": state, **more,
            })  # fmt: skip
            at += timedelta(seconds=seconds + 2)
    return entries


def run(**changes):
    """The head of a summary's run."""
    return {
        "time": START.isoformat(), "started": START.isoformat(), "end": "finished", "command": ["run"],
        "model": {"name": "m", "digest": "d" * 64, "synthetic": False, "parameters": int(PARAMETERS)},
        "isolation": "docker", "device": {"kind": "cpu", "name": "Example (2 cores)", "ids": ["cpu"], "detail": {}},
        "profile": "standard", "is_measurement": True, "launches": 5, "repetitions": 3, "threads": 2, "seed": 7,
        "hostname": "box", "host": HOST, "directory": "/results/made-up",
        "images": {f"llm-bench/{engine}:0123456789ab": "sha256:" + "1f" * 32 for engine in ENGINES}, **changes,
    }  # fmt: skip


LIMITS = {
    "bandwidth_gbs": {"best": 30.0, "values": [29.5, 30.0, 29.8], "spread": 0.017, "method": "made up", "threads": 2,
                      "buffer_bytes": 1 << 29, "last_level_cache": 32 << 20},
    "matmul": {"float32": {"gflops": 160.0, "n": 2048, "by": "made up"}},
}  # fmt: skip


def summary(rows=None, **changes):
    """A summary of `rows`; without any, of four engines at up to five precisions with four cells that failed."""
    if rows is None:
        rows = [
            row(engine, precision)
            for engine in ENGINES
            for precision in BITS
            if (engine, precision) != ("gamma", "int4")
        ]
        rows[1]["flags"], rows[3]["flags"] = ["noisy_host"], ["not_steady", "caveat"]
        rows[3]["caveat"] = "int8 is weight-only"
        rows += [
            failed("epsilon", "int8", "build_failed", "gcc: fatal error: no such file", None),
            failed("epsilon", "int4", "build_failed", "gcc: fatal error: no such file", None),
            failed("gamma", "int4"),
            failed("gamma", "float16", "unsupported", "no float16 kernels on a CPU", None, variant="float16-fast",
                   link="https://example.org/float16"),
        ]  # fmt: skip
    made = {"schema": 1, "run": run(), "limits": LIMITS, "reference": None, "timeline": timeline(rows), "rows": rows}
    return {**made, **changes}


def shapes():
    """A summary with three prompt lengths and three batch sizes."""
    rows = [
        row(engine, precision, batch_size=batch, prompt_tokens=prompt)
        for engine in ENGINES
        for precision in ("float32", "int8")
        for batch, prompt in ((1, 128), (1, 512), (1, 2048), (4, 128), (16, 128))
    ]
    return summary(rows)


def fleet(count):
    """A summary of `count` rows of one workload; every twentieth failed, each in its own words."""
    engines = [f"engine{number}" for number in range(12)]
    models = [(row(engine, precision), failed(engine, precision)) for engine in engines for precision in BITS]
    rng, rows = random.Random(2), []
    for number in range(count):
        good, bad = models[number % len(models)]
        names = {"variant": f"{good['precision']}-v{number}", "machine": f"box{number % 7}"}
        if number % 20 == 0:
            rows.append({**bad, **names, "reason": f"ValueError: bad size {number}"})
            continue
        factor, loss = rng.uniform(0.5, 1.0), rng.uniform(0, 0.02)
        quality = {**good["quality"], "top1": good["quality"]["top1"] - loss}
        rows.append({
            **good, **names, "decode_tps": scaled(good["decode_tps"], factor), "quality": quality,
            "mbu": factor * good["mbu"], "peak_host_mib": good["peak_host_mib"] * rng.uniform(1, 2),
        })  # fmt: skip
    return summary(rows)


def scaled(found, factor):
    """A metric `factor` times as large."""
    numbers = {key: factor * found[key] for key in ("median", "low", "high", "mean", "std")}
    return {**found, **numbers, "values": [factor * value for value in found["values"]]}
