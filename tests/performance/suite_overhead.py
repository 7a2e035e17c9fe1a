"""What the suite itself costs, measured with bench_dummy in real containers.

    .venv/bin/python -m tests.performance.suite_overhead [--rounds 10]

Prints: wall time of a launch beyond that of a bare container that runs `true` (target: at most 0.3 s); measured over
true step time at 1, 10 and 100 ms (target: within 1 % at 10 ms); time per token at zero delay; CPU that the
orchestrator uses while a launch runs (target: at most 2 % of a core). Launches and bare containers alternate.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import docker
from tabulate import tabulate

from common.contract import DeviceFacts, ModelFacts, Sample
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.judge.analysis import Yardstick
from orchestrator.judge.launch_files import read_samples
from orchestrator.judge.verdict import judge_launch
from orchestrator.machine import host
from orchestrator.machine.devices import choose_device
from orchestrator.machine.site import Site
from orchestrator.models.dimensions import ParameterCounts
from orchestrator.plan import engine_yaml, profiles
from orchestrator.plan.cells import Cell, Shape
from orchestrator.run.job import make_job
from orchestrator.sandbox.containers import DockerSandbox
from orchestrator.sandbox.images import Images
from orchestrator.sandbox.task import Task, thread_environment

PARAMETERS = 1000


class Bench:
    def __init__(self) -> None:
        client, workspace = docker.from_env(), Workspace.of_checkout()
        device = choose_device("cpu", None, lambda _text: None)
        features = host.cpu_features_digest()
        self.client, self.engine = client, engine_yaml.discover()["dummy"]
        images = Images(client, Site.read(workspace.site), Progress(), workspace.root, workspace.cache)
        self.sandbox, self.cache = DockerSandbox(client, images, device, features), workspace.cache
        self.image = self.sandbox.prepare(self.engine, "cpu")

    def launch(self, settings: dict, new_tokens: int, repetitions: int = 3) -> tuple[float, list[Sample]]:
        """Wall seconds of one launch as the suite runs it, judged; and its measured samples."""
        cell = Cell(self.engine, self.engine.variants["float32"], Shape(1, 8, new_tokens))
        model = ModelFacts("none", "-", synthetic=True, vocab_size=256, parameters=PARAMETERS)
        prompts = [[[number] * 8] for number in range(profiles.WARMUP.max + repetitions)]
        job = make_job(cell, DeviceFacts("cpu", ["cpu"], "cpu"), model, prompts, repetitions, 1)
        job = replace(job, settings=settings)
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            directory = Path(folder)
            (directory / "out").mkdir()
            started = time.monotonic()
            task = Task("dummy", "bench_dummy.bench", job, directory, directory / "out", directory, None, 600,
                        thread_environment(1))  # fmt: skip
            ended = self.sandbox.run(self.image, task)
            weights = ParameterCounts(PARAMETERS, 0, 0, PARAMETERS, 0)
            verdict = judge_launch(ended, directory, job, Yardstick(weights, {}))
            wall = time.monotonic() - started
            if verdict.outcome != "ok":
                raise SystemExit(f"{verdict.outcome}: {verdict.reason}")
            return wall, [sample for sample in read_samples(directory) if sample.phase == "measure"]

    def bare(self) -> float:
        """Wall seconds of a container of the same image that does nothing."""
        started = time.monotonic()
        container = self.client.containers.create(self.image.id, entrypoint=["true"], network_mode="none")
        container.start()
        container.wait()
        container.remove(force=True)
        return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    bench = Bench()
    bench.launch({}, 2)  # the first container of an image pays for the page cache
    pairs = [(bench.launch({}, 128)[0], bench.bare()) for _ in range(rounds)]
    overhead = median(launch - bare for launch, bare in pairs)
    table = [["launch less bare container, s", f"{overhead:.3f}", "<= 0.3"]]
    for delay_ms in (1, 10, 100):
        _, samples = bench.launch({"first_ms": 50, "step_ms": delay_ms}, 2 + 2000 // delay_ms)
        steps = [(s.steps_ns[-1] - s.steps_ns[0]) / (len(s.steps_ns) - 1) / 1e6 for s in samples]
        target = {1: "0.97 - 1.03", 10: "0.99 - 1.01", 100: "0.99 - 1.01"}[delay_ms]
        table.append([f"measured / true step, {delay_ms} ms", f"{median(steps) / delay_ms:.4f}", target])
    _, samples = bench.launch({}, 10_000)
    per_token = median(s.steps_ns[-1] / len(s.steps_ns) / 1e3 for s in samples)
    table.append(["zero delay, us per token", f"{per_token:.2f}", "<= 5"])
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    bench.launch({"step_ms": 100}, 50)
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - started
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    table.append([f"orchestrator CPU over a launch of {wall:.0f} s, % of a core", f"{100 * cpu / wall:.2f}", "<= 2"])
    print(tabulate(table, ["what", "measured", "target"], disable_numparse=True))


if __name__ == "__main__":
    main()
