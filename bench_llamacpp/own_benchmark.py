"""llama-bench on the job's own model, threads and shape: what llama.cpp says of itself, for gate self_calibration."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

REPETITIONS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, default=Path("/job/job.json"))
    parser.add_argument("--out", type=Path, default=Path("/out"))
    options = parser.parse_args()
    job = json.loads(options.job.read_text(encoding="utf-8"))
    shape, command = job["shape"], ["llama-bench", "-m", f"{job['model']['artefact']}/model.gguf", "-o", "json"]
    if job["settings"].get("kv") == "f32":
        raise SystemExit("llama-bench has no float32 KV cache")
    command += ["-t", str(job["threads"]), "-r", str(REPETITIONS), "-ctk", "f16", "-ctv", "f16"]
    command += ["-ngl", "0", "-lm", "none"] if job["device"]["kind"] == "cpu" else ["-ngl", "999"]
    decode = ["-p", "0", "-n", str(shape["new_tokens"] - 1), "-d", str(shape["prompt_tokens"])]
    found = {
        "decode_tps": run(command + decode),
        "prefill_tps": run([*command, "-p", str(shape["prompt_tokens"]), "-n", "0"]),
    }
    (options.out / "own_benchmark.json").write_text(json.dumps(found), encoding="utf-8")


def run(command):
    """Median tokens/s of one llama-bench test."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return statistics.median(json.loads(done.stdout)[0]["samples_ts"])


if __name__ == "__main__":
    main()
