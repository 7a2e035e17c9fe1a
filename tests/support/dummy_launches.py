"""Jobs for the dummy, and launches of it in this process."""

import json

from bench_dummy.bench import Dummy
from bench_dummy.faults import Faults
from common import launch as runtime
from common.contract import WarmupRule
from common.engine import Loaded
from tests.support.contenders import cell
from tests.support.results_directory import job

STEADY = WarmupRule(min=3, max=10, span=1e9)  # any three durations will do


def make(repetitions=2, shape=(2, 4, 5), score=None, warmup=STEADY, **settings):
    return job(cell(shape=shape, settings=settings), repetitions, warmup=warmup, score=score or [])


def run(made, out, engine=Dummy):
    """(exit code, result.json, samples)."""
    code = runtime.run(engine, made, out)
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".npy") == ["result.json", "samples.jsonl"]
    return code, json.loads((out / "result.json").read_text()), samples(out)


def samples(out):
    return [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]


def loaded_dummy(made):
    engine = Dummy()
    engine.load(made)
    return engine


def engine(load=None, **methods):
    """A subclass of the dummy in which some methods are others."""

    def good(self, job):
        return Loaded("1", "float32", 4000)

    return type(
        "Made", (Dummy,), {"vocabulary": 64, "settings": {}, "faults": Faults({}), "load": load or good, **methods}
    )
