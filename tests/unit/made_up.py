"""Made-up checkpoints, engines, launches and results directories: what the orchestrator reads, without measuring it."""

import io
import json
import struct
from itertools import accumulate
from math import prod
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from orchestrator import journal, launches
from orchestrator.engines import DeviceEntry, Engine, Support, Variant
from orchestrator.evidence import Context
from orchestrator.models import Model
from orchestrator.outcomes import OUTCOMES
from orchestrator.plan import Cell, Shape
from orchestrator.progress import Progress
from orchestrator.sandbox import Ended
from orchestrator.tensors import gguf
from orchestrator.weights import Weights

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "intermediate_size": 16,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 64,
}  # fmt: skip
WEIGHTS = Weights(parameters=1000, embedding=100, head=100, linear=780, vectors=20)
TIED = Weights(parameters=900, embedding=100, head=0, linear=780, vectors=20)
CONTEXT = Context(WEIGHTS, CONFIG)
SUPPORTED = Support("supported")


def progress() -> tuple[Progress, io.StringIO]:
    """A Progress and the text it prints."""
    text = io.StringIO()
    return Progress(text), text


def checkpoint(folder: Path, config: dict | None = None, tokenizer: bool = False) -> Path:
    """A small Llama-like checkpoint directory."""
    folder.mkdir(parents=True)
    config = {**CONFIG, **(config or {})}
    (folder / "config.json").write_text(json.dumps(config))
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    tensors = {
        "model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,),
        "model.layers.0.mlp.up_proj.weight": (inner, hidden), "lm_head.weight": (vocabulary, hidden),
    }  # fmt: skip
    save_file({name: np.ones(shape, np.float32) for name, shape in tensors.items()}, folder / "model.safetensors")
    if tokenizer:
        # One token a character: prompts then are as alike as prompts can be.
        characters = [*map(chr, range(32, 127)), "\n"]
        made = Tokenizer(models.WordLevel({each: i for i, each in enumerate(characters)}, unk_token=" "))
        made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        made.save(str(folder / "tokenizer.json"))
    return folder


def gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def made_gguf(path: Path, table: list[tuple], metadata=(), alignment=32, version=3, counts=None, data=True) -> Path:
    """The folder of a GGUF file of `table`'s (name, shape with the row last, type)."""
    lengths = []
    for _, shape, kind in table:
        _, block, size = gguf.TYPES[kind]
        lengths.append(prod(shape) // block * size)
    padded = [-(-length // alignment) * alignment for length in lengths]
    offsets = [0, *accumulate(padded)]
    raw = b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(table), len(metadata)))) + b"".join(metadata)
    for (name, shape, kind), offset in zip(table, offsets, strict=False):
        raw += (
            gguf_text(name)
            + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
            + struct.pack("<IQ", kind, offset)
        )
    raw += bytes(-len(raw) % alignment)
    path.write_bytes(raw + (bytes(offsets[-1]) if data else b""))
    return path.parent


def model(path: Path, **changes) -> Model:
    """The model at `path`, unverified."""
    config = json.loads((path / "config.json").read_text())
    return Model(**{"name": path.name, "path": path, "digest": "d" * 64, "manifest": {}, "synthetic": False,
                    "config": config, **changes})  # fmt: skip


def variant(name="float32", **changes) -> Variant:
    return Variant(**{"name": name, "precision": "float32", "scheme": name, "settings": {}, "artefact": None,
                      "row_multiple": None, "default": True, "devices": {"cpu": SUPPORTED}, **changes})  # fmt: skip


def engine(name="alpha", variants=None, **changes) -> Engine:
    made = variants or [variant()]
    fields = {
        "folder": Path(f"bench_{name}"), "name": name, "title": name.title(), "version": "1.0",
        "homepage": "https://example.org", "licence": "MIT", "test_only": False,
        "capabilities": {"streams": True, "logprobs": True, "batch": True, "ragged": True},
        "devices": {"cpu": DeviceEntry(SUPPORTED, "debian:bookworm-slim")},
        "variants": {each.name: each for each in made},
    }  # fmt: skip
    return Engine(**{**fields, **changes})


def cell(name="alpha", shape=(1, 4, 3), **changes) -> Cell:
    made = variant(**changes)
    return Cell(engine(name, [made]), made, Shape(*shape))


def probe(gbs=10.0, cache=None) -> dict:
    """A bandwidth probe of result.json."""
    return {"best_gbs": gbs, "gbs": [gbs], "method": "test", "buffer_bytes": 1, "threads": 2, "last_level_cache": cache}


def job(made: Cell | None = None, repetitions=2, **changes) -> dict:
    """A launch's job with prompts of plain numbers."""
    made = made or cell()
    shape = made.shape
    prompts = [[[i + 3] * shape.prompt_tokens for _ in range(shape.batch_size)] for i in range(10 + repetitions)]
    facts = {"name": "m", "digest": "d" * 64, "synthetic": False, "vocab_size": 64, "parameters": 1000}
    return {**launches.job(made, {"kind": "cpu", "ids": ["cpu"]}, facts, prompts, repetitions, 2), **changes}


def sample(i=0, phase="measure", steps_ns=(10_000_000, 20_000_000, 30_000_000), batch=1, **changes) -> dict:
    ids = [[7] * batch for _ in steps_ns]
    return {"i": i, "phase": phase, "steps_ns": list(steps_ns), "ids": ids, "own_cpu_s": 0.1, "foreign_cpu_s": 0.0,
            "steal_s": 0.0, **changes}  # fmt: skip


def loaded(**changes) -> dict:
    return {"version": "1.0", "dtype": "float32", "weight_bytes": 4000, "quantization": None, "threads": 2,
            "kv_dtype": None, "kv_bytes": 2**20, "extra": {}, **changes}  # fmt: skip


def result(outcome="ok", **changes) -> dict:
    """result.json of a launch that went well."""
    assert outcome in OUTCOMES
    return {
        "schema": 1, "outcome": outcome, "reason": None, "environment": {}, "load_s": 0.5, "loaded": loaded(),
        "streams": True, "warmup": {"iterations": 3, "steady": True}, "first_generate_s": 0.04, "samples": 5,
        "memory": {"peak_host_mib": 100.0, "peak_mapped_file_mib": 1.0, "source": "test"}, **changes,
    }  # fmt: skip


def launch(directory: Path, launch_job: dict | None = None, samples=None, made_result=None, log="") -> Path:
    """A launch's directory as a sandbox leaves it."""
    launch_job = launch_job or job()
    batch = launch_job["shape"]["batch_size"]
    if samples is None:
        phases = ["warmup"] * 3 + ["measure"] * launch_job["repetitions"]
        samples = [sample(i, phase, batch=batch) for i, phase in enumerate(phases)]
    (directory / "out").mkdir(parents=True)
    (directory / "job.json").write_text(json.dumps(launch_job))
    (directory / "stderr.log").write_text(log)
    (directory / "reproduce.sh").write_text("#!/bin/sh\necho again\n")
    (directory / "out" / "result.json").write_text(json.dumps(made_result or result()))
    (directory / "out" / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in samples))
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
        self.journal = journal.Journal(directory)

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


def complaint(called):
    """The one line of a refusal, without the lines that say which device and isolation were taken."""
    code, out, lines = called
    assert (code, out) == (2, "")
    said = [line for line in lines if not line.startswith(("Device: ", "isolation: "))]
    assert len(said) == 1, said
    assert said[0].startswith("error: ")
    return said[0].removeprefix("error: ")
