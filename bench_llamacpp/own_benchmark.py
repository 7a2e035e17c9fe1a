"""Runs llama-bench on the job's model, threads and shape."""

import json
import statistics
import subprocess

from common.tools.own_benchmark import main

REPETITIONS = 3


def measure(job):
    if job.settings.get("kv") == "f32":
        raise SystemExit("llama-bench has no float32 KV cache")
    command = ["llama-bench", "-m", f"{job.model.artefact}/model.gguf", "-o", "json", "-r", str(REPETITIONS)]
    command += ["-t", str(job.threads), "-ctk", "f16", "-ctv", "f16"]
    command += ["-ngl", "0", "-lm", "none"] if job.device.kind == "cpu" else ["-ngl", "999"]
    prompt, new = str(job.shape.prompt_tokens), str(job.shape.new_tokens - 1)
    return {
        "decode_tps": run([*command, "-p", "0", "-n", new, "-d", prompt]),
        "prefill_tps": run([*command, "-p", prompt, "-n", "0"]),
    }


def run(command):
    """Median tokens/s of one test."""
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return statistics.median(json.loads(process.stdout)[0]["samples_ts"])


if __name__ == "__main__":
    main(measure)
