"""Results directories and the launches' files in them, as a run would have left them, without measuring anything."""

import json
from dataclasses import replace
from pathlib import Path

from common.contract import DeviceFacts, Job, Loaded, Memory, ModelFacts, Probe, Result, Sample, Warmup
from orchestrator.base.outcomes import OUTCOMES
from orchestrator.judge.analysis import Yardstick
from orchestrator.plan.cells import Cell
from orchestrator.results.journal import Journal
from orchestrator.run.job import make_job
from orchestrator.sandbox.task import Ended
from tests.support.checkpoints import CONFIG, WEIGHTS
from tests.support.contenders import cell

CONTEXT = Yardstick(WEIGHTS, CONFIG)


def probe(gbs=10.0, cache=None) -> Probe:
    """A bandwidth probe of result.json."""
    return Probe(gbs, cache, [gbs], "test", 1, 2)


def job(made: Cell | None = None, repetitions=2, **changes) -> Job:
    """A launch's job with prompts of plain numbers."""
    made = made or cell()
    shape = made.shape
    prompts = [[[i + 3] * shape.prompt_tokens for _ in range(shape.batch_size)] for i in range(10 + repetitions)]
    facts = ModelFacts("m", "d" * 64, synthetic=False, vocab_size=64, parameters=1000)
    return replace(make_job(made, DeviceFacts("cpu", ["cpu"], "Example"), facts, prompts, repetitions, 2), **changes)


def sample(i=0, phase="measure", steps_ns=(10_000_000, 20_000_000, 30_000_000), batch=1, **changes) -> Sample:
    ids = [[7] * batch for _ in steps_ns]
    return replace(Sample(i, phase, list(steps_ns), ids, own_cpu_s=0.1, foreign_cpu_s=0.0, steal_s=0.0), **changes)


def loaded(**changes) -> Loaded:
    return replace(Loaded("1.0", "float32", 4000, threads=2, kv_bytes=2**20), **changes)


def result(outcome="ok", **changes) -> dict:
    """The content of result.json of a launch that went well; `changes` may be of wrong types."""
    assert outcome in OUTCOMES
    good = Result(0.5, loaded(), True, Warmup(3, steady=True), 0.04, Memory(100.0, 1.0, "test"), samples=5)
    return json.loads(json.dumps({**vars(good), "outcome": outcome, **changes}, default=vars))


def launch(directory: Path, launch_job: Job | None = None, samples=None, made_result=None, log="") -> Path:
    """A launch's directory as a sandbox leaves it."""
    launch_job = launch_job or job()
    batch = launch_job.shape.batch_size
    if samples is None:
        phases = ["warmup"] * 3 + ["measure"] * launch_job.repetitions
        samples = [sample(i, phase, batch=batch) for i, phase in enumerate(phases)]
    (directory / "out").mkdir(parents=True)
    (directory / "job.json").write_text(json.dumps(launch_job, default=vars))
    (directory / "stderr.log").write_text(log)
    (directory / "reproduce.sh").write_text("#!/bin/sh\necho again\n")
    (directory / "out" / "result.json").write_text(json.dumps(made_result or result()))
    (directory / "out" / "samples.jsonl").write_text("".join(json.dumps(each, default=vars) + "\n" for each in samples))
    return directory


def ended(**changes) -> Ended:
    return Ended(**{"exit_code": 0, "signal": None, "oom_killed": False, "timed_out": False, "wall_s": 1.0, **changes})


HOST = {
    "cpu_model": "Example", "physical_cores": 2, "memory_total_mib": 1024.0, "os": "Linux", "kernel": "6",
    "python": "3", "virtualised": False, "governor": None, "clock_source": "tsc",
    "suite": {"commit": "c" * 40, "dirty": False},
}  # fmt: skip


class Results:
    """Writes a results directory as a run does, record by record."""

    def __init__(self, directory: Path, workload="w1"):
        self.directory, self.workload = directory, workload
        directory.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(directory)

    def run(self, cells: list[Cell], model: str | None = "m", **changes) -> "Results":
        """The head of a run: what is asked for, the model, and what every cell is."""
        described = [
            {"label": each.label, "engine": each.engine.name, "title": each.engine.title, "declared_version": "1.0",
             "variant": each.variant.name, "precision": each.variant.precision, "scheme": each.variant.scheme,
             "settings": {}, **vars(each.shape), "caveat": None, "link": None, "verified": True}
            for each in cells
        ]  # fmt: skip
        self.journal.append("run", **{
            "schema": 1, "time": "2025-01-01T00:00:00+00:00", "command": ["run", "--out", self.directory.name],
            "model": "m", "isolation": "venv",
            "device": {"kind": "cpu", "name": "Example", "ids": ["cpu"], "key": "cpu", "detail": {}},
            "profile": "standard", "is_measurement": True, "launches": 1, "repetitions": 2, "threads": 2, "seed": 7,
            "hostname": "box", "host": HOST, "cells": described, **changes,
        })  # fmt: skip
        if model:
            self.journal.append("model", name=model, digest="d" * 64, synthetic=False, vocab_size=64, parameters=1000,
                                manifest={}, config=CONFIG)  # fmt: skip
        return self

    def plan(self, made: Cell, keys: list[str], **changes) -> "Results":
        self.journal.append("cell", label=made.label, workload=self.workload, image=f"venv:{made.engine.name}-1",
                            image_id="i" * 12, recipe=["make it"], keys=keys, **changes)  # fmt: skip
        return self

    def launch(self, made: Cell, block: int, key: str, outcome="ok", reason=None, **files) -> "Results":
        place = self.directory / "launches" / f"{made.label}-{block + 1}-{key}"
        if outcome == "ok":
            launch(place, files.pop("launch_job", job(made)), **files)
        self.journal.append("launch", label=made.label, block=block, key=key, outcome=outcome, reason=reason,
                            gates={"precision": "pass", "tokens": "pass"} if outcome == "ok" else {},
                            directory=str(place.relative_to(self.directory)), started="x", wall_s=1.0)  # fmt: skip
        return self

    def end(self, outcome="finished") -> Path:
        self.journal.append("end", outcome=outcome, time="x")
        self.journal.close()
        return self.directory


def results(directory: Path, cells: list[Cell], launches_each=1, workload="w1", steps=None, **run) -> Path:
    """A finished run in which every launch of every cell is ok; `steps` are steps_ns by (block, iteration)."""
    made = Results(directory, workload).run(cells, launches=launches_each, **run)
    for each in cells:
        keys = [f"k{block}" for block in range(launches_each)]
        made.plan(each, keys)
        for block, key in enumerate(keys):
            samples = None
            if steps:
                samples = [sample(i, steps_ns=steps(block, i), batch=each.shape.batch_size) for i in range(2)]
            made.launch(each, block, key, samples=samples)
    return made.end()
