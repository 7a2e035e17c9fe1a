"""Is our llama.cpp figure llama.cpp's own? Alternates our launch with llama-bench from the same image on the same GGUF.

    .venv/bin/python -m tests.performance.llamacpp_against_llama_bench --image IMAGE --artefact FOLDER [--threads N ...]

FOLDER holds model.gguf (what bench_llamacpp/convert.py wrote). Both sides run in the same locked-down container with
the same threads, load mode and KV cache (f16: llama-bench has no f32), and decode at the same depth, from the prompt's
end on. Every round runs both, in alternating order, and the ratios are taken per round, so that a machine that drifts
favours neither. "Foreign" is the CPU time that other processes took, in cores: a round above 0.05 comes from a noisy
machine and should be repeated.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import tempfile
from pathlib import Path

LOCKED_DOWN = [
    *("docker", "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--user", "10001:10001"),
    *("--tmpfs", "/tmp:rw,exec,size=2g", "-e", "HOME=/tmp"),
]
# llama-bench between two readings of the host's CPU time and clock; `times` tells its own.
CLOCKS = "head -n1 /proc/stat; cat /proc/uptime"
AROUND = f'set -e; {CLOCKS}; llama-bench "$@" >/tmp/report; {CLOCKS}; times; cat /tmp/report'
WARMUP = 3


def main() -> None:
    options = parse()
    ratios: dict[str, list[float]] = {"decode": [], "prefill": []}
    print(f"{options.artefact}: {options.threads} threads, {options.prompt_tokens} + {options.new_tokens} tokens")
    columns = f"{'ours':>10}{'llama-bench':>13}"
    print(f"     |{'decode, tokens/s':^31}|{'prefill, tokens/s':^31}|{'foreign, cores':^24}")
    print(f"round|{columns}{'ratio':>7} |{columns}{'ratio':>7} |{columns}")
    for number in range(1, options.rounds + 1):
        sides = (ours, theirs) if number % 2 else (theirs, ours)
        measured = {side: side(options) for side in sides}
        row = f"{number:5}|"
        for index, name in enumerate(ratios):
            own, other = measured[ours][index], measured[theirs][index]
            ratios[name].append(own / other)
            row += f"{own:10.1f}{other:13.1f}{own / other:7.3f} |"
        print(f"{row}{measured[ours][2]:10.2f}{measured[theirs][2]:13.2f}", flush=True)
    for name, values in ratios.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{name}: ours / llama-bench: median {middle:.3f}  [{low:.3f}, {high:.3f}] over {len(values)} rounds")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True, help="an image of bench_llamacpp")
    parser.add_argument("--artefact", required=True, type=Path, help="the directory of model.gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=5, help="iterations per side and round")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=128)
    return parser.parse_args()


def ours(options: argparse.Namespace) -> tuple[float, float, float]:
    """(decode tokens/s, prefill tokens/s, foreign cores): medians of one launch of bench.py."""
    prompt, new, repetitions = options.prompt_tokens, options.new_tokens, options.repetitions
    source = random.Random(0)
    job = {
        **{"schema": 1, "engine": "llamacpp", "variant": "compared", "precision": "", "scheme": "", "settings": {}},
        **{"threads": options.threads, "device": {"kind": "cpu", "ids": []}},
        "model": {"name": "compared", "path": "/artefact", "artefact": "/artefact"},
        "shape": {"batch_size": 1, "prompt_tokens": prompt, "new_tokens": new},
        "warmup": {"min": WARMUP, "max": WARMUP, "span": 0.05},
        "repetitions": repetitions,
        "prompts": [[[source.randrange(1000) for _ in range(prompt)]] for _ in range(WARMUP + repetitions)],
    }
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        out.chmod(0o777)  # the container's user is another one
        (out / "job.json").write_text(json.dumps(job), encoding="utf-8")
        docker(options, ["-v", f"{out}/job.json:/job/job.json:ro", "-v", f"{out}:/out"], [])
        lines = (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [sample for sample in map(json.loads, lines) if sample["phase"] == "measure"]
    steps = [sample["steps_ns"] for sample in samples]
    return (
        statistics.median((new - 1) / (times[-1] - times[0]) * 1e9 for times in steps),
        statistics.median(prompt / times[0] * 1e9 for times in steps),
        sum(sample["foreign_cpu_s"] for sample in samples) / sum(times[-1] for times in steps) * 1e9,
    )


def theirs(options: argparse.Namespace) -> tuple[float, float, float]:
    """The same from llama-bench: one run for decode at our depth, one for prefill; the worse of their foreign times."""
    decode, decode_foreign = llama_bench(options, "-p", 0, "-n", options.new_tokens - 1, "-d", options.prompt_tokens)
    prefill, prefill_foreign = llama_bench(options, "-p", options.prompt_tokens, "-n", 0)
    return decode, prefill, max(decode_foreign, prefill_foreign)


def llama_bench(options: argparse.Namespace, *test: object) -> tuple[float, float]:
    """(median tokens/s, foreign cores) of one llama-bench run, its loading included in the latter."""
    command = ["-c", AROUND, "sh", "-m", "/artefact/model.gguf", "-t", options.threads, "-lm", "none"]
    command += ["-ctk", "f16", "-ctv", "f16", "-r", options.repetitions, "-o", "json", *test]
    lines = docker(options, ["--entrypoint", "sh"], command).splitlines()
    busy, began, busy_then, ended, _shell, children, *report = lines
    foreign = cpu_seconds(busy_then) - cpu_seconds(busy)
    for own in children.split():  # "1m2.500000s": user and system time of llama-bench
        minutes, seconds = own.rstrip("s").split("m")
        foreign -= float(minutes) * 60 + float(seconds)
    elapsed = float(ended.split()[0]) - float(began.split()[0])
    return statistics.median(json.loads("".join(report))[0]["samples_ts"]), max(0.0, foreign) / elapsed


def cpu_seconds(line: str) -> float:
    """Busy CPU seconds of the host from the first line of /proc/stat (its ticks are 1/100 s on Linux)."""
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) / 100 for field in line.split()[1:8])
    return user + nice + system + irq + softirq


def docker(options: argparse.Namespace, extra: list[str], command: list[object]) -> str:
    """Run one container to its end. Returns its stdout; raises RuntimeError with the end of its stderr."""
    mount = ["-v", f"{options.artefact.resolve()}:/artefact:ro"]
    line = [*LOCKED_DOWN, *mount, *extra, options.image, *map(str, command)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}\nexit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
