#!/usr/bin/env python3
"""Does the suite slow PyTorch down? Our launch against a bare transformers loop in the same image, interleaved.

    .venv/bin/python -m tests.performance.pytorch_against_bare_loop --image IMAGE --model DIR [--rounds 5]

IMAGE is a built bench_pytorch image, DIR a Hugging Face checkpoint directory. Both sides get the same model in float32,
the same threads, prompts, warm-up and repetitions, each in a fresh container; who goes first alternates. Per round and
side: the median decode speed of the repetitions, batch x (n - 1) / (t_last - t_first), and the share of one core that
other processes took meanwhile - above 5 % the round says little, whatever its ratio. Target: median ratio >= 0.98.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WARMUP = 3

BARE_LOOP = """
import json, os, time, torch
from transformers import AutoModelForCausalLM, DynamicCache
job = json.load(open("/job/job.json"))
torch.set_num_threads(job["threads"])
model = AutoModelForCausalLM.from_pretrained("/model", dtype=torch.float32).eval()

def cpu():
    busy = [int(field) for field in open("/proc/stat").readline().split()[1:8]]
    own = os.times()
    return (sum(busy) - busy[3] - busy[4]) / os.sysconf("SC_CLK_TCK"), own.user + own.system

for prompts in job["prompts"]:
    (busy, own), started = cpu(), time.monotonic()
    ids, cache, times, tokens = torch.tensor(prompts), DynamicCache(config=model.config), [], []
    with torch.inference_mode():
        for _ in range(job["shape"]["new_tokens"]):
            logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits
            ids = logits[:, -1].argmax(-1, keepdim=True)
            tokens.append(ids[:, 0].tolist())
            times.append(time.monotonic_ns())
    (busy_after, own_after), wall = cpu(), time.monotonic() - started
    foreign = max(0.0, (busy_after - busy) - (own_after - own)) / wall
    print(json.dumps({"steps_ns": times, "ids": tokens, "foreign": foreign}), flush=True)
"""


def container(options: argparse.Namespace, folder: Path, *command: str) -> str:
    """Run one locked-down container of the image, as the suite does, and return its stdout."""
    return subprocess.run(
        [
            "docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--user", "10001:10001",
            "--tmpfs", "/tmp:rw,exec,size=2g", "-e", "HOME=/tmp",
            "-v", f"{folder / 'job.json'}:/job/job.json:ro", "-v", f"{options.model.resolve()}:/model:ro",
            "-v", f"{folder / 'out'}:/out", *command,
        ],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip


def ours(options: argparse.Namespace, folder: Path) -> list[dict]:
    """Iterations of our own launch, from its samples.jsonl."""
    container(options, folder, options.image)
    samples = [json.loads(line) for line in (folder / "out" / "samples.jsonl").read_text().splitlines()]
    for sample in samples:
        sample["foreign"] = (sample["foreign_cpu_s"] or 0.0) / (sample["steps_ns"][-1] / 1e9)
    return samples


def bare(options: argparse.Namespace, folder: Path) -> list[dict]:
    """Iterations of the bare loop, one JSON line each."""
    lines = container(options, folder, "--entrypoint", "python", options.image, "-c", BARE_LOOP).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def run(side, options: argparse.Namespace, job: dict) -> tuple[float, float, list]:
    """(median decode tokens/s, highest foreign CPU share, generated ids) of one side in one fresh container."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)  # the container's user is not ours
        (folder / "job.json").write_text(json.dumps(job))
        iterations = side(options, folder)[WARMUP:]
    tokens = job["shape"]["batch_size"] * (job["shape"]["new_tokens"] - 1)
    speeds = [tokens / ((each["steps_ns"][-1] - each["steps_ns"][0]) / 1e9) for each in iterations]
    return statistics.median(speeds), max(each["foreign"] for each in iterations), [each["ids"] for each in iterations]


def make_job(options: argparse.Namespace, vocabulary: int) -> dict:
    """The job both sides read; every iteration has prompts of its own."""
    chance = random.Random(options.seed)
    iterations = WARMUP + options.repetitions
    prompt = lambda: [chance.randrange(vocabulary) for _ in range(options.prompt_tokens)]  # noqa: E731
    return {
        "schema": 1, "engine": "pytorch", "variant": "float32", "precision": "float32", "scheme": "float32",
        "settings": {}, "threads": options.threads, "device": {"kind": "cpu", "ids": [], "name": "cpu"},
        "model": {
            "name": options.model.name, "digest": "-", "synthetic": False, "vocab_size": vocabulary, "parameters": 0,
            "path": "/model", "artefact": "/model",
        },
        "shape": {
            "batch_size": options.batch_size, "prompt_tokens": options.prompt_tokens, "new_tokens": options.new_tokens,
        },
        "warmup": {"min": WARMUP, "max": WARMUP, "span": 0.05}, "repetitions": options.repetitions, "score": [],
        "prompts": [[prompt() for _ in range(options.batch_size)] for _ in range(iterations)],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        vocabulary = json.loads((options.model / "config.json").read_text())["vocab_size"]
    except OSError as error:
        sys.exit(f"--model: {error}; name a checkpoint directory with config.json")
    job = make_job(options, vocabulary)

    print("round  first  suite tok/s   bare tok/s   ratio  foreign CPU (suite, bare)  same ids")
    ratios = []
    for number in range(options.rounds):
        order = (ours, bare) if number % 2 == 0 else (bare, ours)
        result = {side: run(side, options, job) for side in order}
        (mine, my_foreign, my_ids), (plain, its_foreign, its_ids) = result[ours], result[bare]
        ratios.append(mine / plain)
        first = "suite" if order[0] is ours else "bare"
        print(
            f"{number + 1:5}  {first:5} {mine:12.2f} {plain:12.2f}  {ratios[-1]:6.3f}"
            f"  {my_foreign:11.1%}, {its_foreign:6.1%}         {my_ids == its_ids}",
            flush=True,
        )
    print(
        f"median ratio {statistics.median(ratios):.3f} of {len(ratios)} rounds ({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
