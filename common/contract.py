"""What the host and a container exchange: job.json goes in, samples.jsonl and result.json come out.

Each file is declared here once. The container uses the declarations as they are (standard library only); the host reads
the files as these types, strictly, and generates docs/schemas/ and the tables of docs/extend/results.md from them. None
is written as null, and means the same as an absent field.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

SCHEMA = 1


# -- job.json --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """One workload's size."""

    batch_size: int  # prompts that are continued together
    prompt_tokens: int  # tokens of each prompt
    new_tokens: int  # tokens generated for each prompt

    def within(self, other: Shape) -> bool:
        """True where `other` is as large in every respect: what does not fit for this one does not fit for that one."""
        return all(mine <= theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True))

    def __str__(self) -> str:
        return f"batch {self.batch_size}, {self.prompt_tokens} + {self.new_tokens} tokens"


@dataclass(frozen=True)
class DeviceFacts:
    """The device to compute on."""

    kind: str  # cpu, cuda, rocm or metal
    ids: list[str]  # the devices' ids; several GPUs are used as one
    name: str  # the device's name, as its driver or /proc/cpuinfo gives it


@dataclass(frozen=True)
class ModelFacts:
    """The model, and where it lies."""

    name: str  # as --model names it
    digest: str  # sha256 over the model's manifest
    synthetic: bool  # the weights are random
    vocab_size: int  # number of token ids
    parameters: int  # number of weights
    path: str = ""  # the checkpoint's directory, as the process sees it
    artefact: str = ""  # the directory to load: what convert.py made of the checkpoint, or the checkpoint itself


@dataclass(frozen=True)
class WarmupRule:
    """When to stop warming up: after `min` iterations, as soon as the last three are steady."""

    min: int  # iterations at least
    max: int  # iterations at most
    span: float  # share of their median that the last three durations may span
    max_s: float | None = None  # seconds after which no iteration beyond `min` is begun


NO_WARMUP = WarmupRule(0, 0, 0.05)


@dataclass(frozen=True)
class Questions:
    """Prompts whose answers a reader may look at."""

    prompts: list[list[int]]  # token ids [question][tokens]
    new_tokens: int  # tokens of each answer


@dataclass(frozen=True)
class Job:
    """job.json of a launch, which an engine's `load` is given."""

    engine: str  # name of the engine
    variant: str  # name of the variant
    precision: str  # float32, bfloat16, float16, float8, int8 or int4
    scheme: str  # how the weights are held, in the engine's own word (q4_0, nf4)
    settings: dict[str, Any]  # the variant's settings of engine.yaml, unchanged
    device: DeviceFacts  # the device to compute on
    model: ModelFacts  # the model, and where it lies
    shape: Shape  # batch size and lengths
    warmup: WarmupRule  # when to stop warming up
    repetitions: int  # measured iterations
    threads: int  # compute threads
    prompts: list[list[list[int]]]  # token ids [iteration][batch][tokens], one prompt for each iteration
    # Seconds for which the device's bandwidth is measured before and after; null: not at all
    probe_s: float | None = None
    prefix_pairs: int = 0  # pairs of one-token iterations, with a new prompt and with the same again
    # Sequences of token ids to compute log-probabilities of, after the measurement
    score: list[list[int]] = field(default_factory=list)
    score_generated: int = 0  # how many of the first iterations' own sequences to score as well
    score_s: float | None = None  # seconds after which no further sequence is scored; null: no limit
    ask: Questions | None = None  # questions to answer after the measurement
    schema: int = SCHEMA


@dataclass(frozen=True)
class ConversionJob:
    """job.json of a conversion, which an engine's `convert` is given."""

    engine: str  # name of the engine
    variant: str  # name of the variant
    precision: str  # float32, bfloat16, float16, float8, int8 or int4
    scheme: str  # how the weights shall be held, in the engine's own word
    settings: dict[str, Any]  # the variant's settings of engine.yaml, unchanged
    artefact: str  # name of what is made
    threads: int  # compute threads
    model: ModelFacts  # the model, and where it lies
    schema: int = SCHEMA


@dataclass(frozen=True)
class LimitsJob:
    """job.json of the measurement of a device's limits."""

    device: DeviceFacts  # the device to measure
    threads: int  # compute threads
    schema: int = SCHEMA


_PARTS = {"device": DeviceFacts, "model": ModelFacts, "shape": Shape, "warmup": WarmupRule, "ask": Questions}
AnyJob = TypeVar("AnyJob", Job, ConversionJob, LimitsJob)


def read_job(path: Path, kind: type[AnyJob]) -> AnyJob:
    """The job of a file that the host wrote, for the process that it is for."""
    content = json.loads(path.read_text(encoding="utf-8"))
    parts = {name: _PARTS[name](**content[name]) for name in _PARTS.keys() & content.keys() if content[name]}
    return kind(**{**content, **parts})


# -- samples.jsonl ---------------------------------------------------------------------------------------------------


Phase = Literal["warmup", "measure", "fresh", "repeat"]


@dataclass
class Sample:
    """One line of samples.jsonl: one iteration."""

    i: int  # number of the iteration, from 0
    phase: Phase  # warmup, measure, or fresh and repeat: the two of a prefix pair
    steps_ns: list[int]  # when the tokens of each step were on the host, in ns after the submit [steps]
    ids: list[list[int]]  # generated token ids [steps][batch]
    start_ns: int | None = None  # the submit, in ns of CLOCK_MONOTONIC
    # Time to first token in ns, from a one-token iteration of its own; only of an engine that does not stream
    ttft_ns: int | None = None
    own_cpu_s: float | None = None  # CPU seconds of the process and its children
    foreign_cpu_s: float | None = None  # CPU seconds of everyone else on the host
    steal_s: float | None = None  # CPU seconds that the hypervisor gave to others


# -- result.json -----------------------------------------------------------------------------------------------------


@dataclass
class Loaded:
    """What was really loaded, read back from the engine - never copied from the request."""

    version: str  # the engine's own version string
    dtype: str  # dtype in which the weights are held or computed: float32, bfloat16, float16
    weight_bytes: int  # bytes of all weight tensors as held, quantised tensors with their scales
    # Scheme of the quantised weights as the engine names it (q8_0, nf4, int8), None when there is none
    quantization: str | None = None
    threads: int | None = None  # compute threads that the engine reports, None on a GPU or where it does not say
    kv_dtype: str | None = None  # dtype of the KV cache, None where the engine does not say
    kv_bytes: int | None = None  # bytes of KV cache needed for this job's shape, None where unknown
    # What else decides the numbers: attention kernel, compile mode, fallbacks of a quantiser
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Warmup:
    """How the warm-up went."""

    iterations: int  # how many it took
    steady: bool  # the last three durations lay within the rule's span


@dataclass
class Memory:
    """Peak memory of the process and its children."""

    peak_host_mib: float | None  # MiB of anonymous and shared memory, null where it cannot be read
    peak_mapped_file_mib: float | None = None  # MiB of mapped files, which are the page cache's
    source: str = ""  # how it was read


@dataclass
class Probe:
    """One measurement of a device's memory bandwidth."""

    best_gbs: float  # GB/s (10^9 bytes) of the fastest pass
    last_level_cache: int | None = None  # bytes of the last cache level, null where unknown
    gbs: list[float] = field(default_factory=list)  # GB/s of every pass
    method: str = ""  # how it was measured
    buffer_bytes: int | None = None  # bytes that each pass reads
    threads: int | None = None  # threads that read


@dataclass
class Score:
    """Teacher-forced log-probabilities of one sequence."""

    mean_logprob: float  # mean of the sequence's own tokens, in nats
    file: str  # name of the file with all of them, float32 [tokens - 1, vocabulary]


@dataclass
class Failure:
    """result.json of a launch that failed; fields of Result that it came to are there as well."""

    outcome: str  # why it failed, one of the outcome words
    reason: str | None = None  # the error's message or the end of its traceback
    schema: int = SCHEMA


@dataclass
class Result:
    """result.json of a launch whose outcome is ok."""

    load_s: float  # seconds from the start of loading until the engine can generate
    loaded: Loaded  # what the engine says that it loaded
    streams: bool  # tokens are handed over step by step
    warmup: Warmup  # how the warm-up went
    first_generate_s: float | None  # seconds of the very first iteration, which may compile
    memory: Memory  # peak memory until the end of the measurement
    samples: int | None = None  # number of iterations
    bandwidth: dict[str, Probe | None] = field(default_factory=dict)  # bandwidth by when it was measured: before, after
    scores: list[Score | None] | None = None  # of each scored sequence; null: no log-probabilities
    answers: list[list[int]] | None = None  # token ids that follow each question [question][tokens]
    environment: dict[str, Any] = field(default_factory=dict)  # Python, system and CPU affinity of the process
    outcome: Literal["ok"] = "ok"  # of any other, see Failure
    reason: str | None = None  # none
    schema: int = SCHEMA
