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
    """One workload's size.

    batch_size:     prompts that are continued together
    prompt_tokens:  tokens of each prompt
    new_tokens:     tokens generated for each prompt
    """

    batch_size: int
    prompt_tokens: int
    new_tokens: int

    def within(self, other: Shape) -> bool:
        """True where `other` is as large in every respect: what does not fit for this one does not fit for that one."""
        return all(mine <= theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True))

    def __str__(self) -> str:
        return f"batch {self.batch_size}, {self.prompt_tokens} + {self.new_tokens} tokens"


@dataclass(frozen=True)
class DeviceFacts:
    """The device to compute on.

    kind:  cpu, cuda, rocm or metal
    ids:   the devices' ids; several GPUs are used as one
    name:  the device's name, as its driver or /proc/cpuinfo gives it
    """

    kind: str
    ids: list[str]
    name: str


@dataclass(frozen=True)
class ModelFacts:
    """The model, and where it lies.

    name:        as --model names it
    digest:      sha256 over the model's manifest
    synthetic:   the weights are random
    vocab_size:  number of token ids
    parameters:  number of weights
    path:        the checkpoint's directory, as the process sees it
    artefact:    the directory to load: what convert.py made of the checkpoint, or the checkpoint itself
    """

    name: str
    digest: str
    synthetic: bool
    vocab_size: int
    parameters: int
    path: str = ""
    artefact: str = ""


@dataclass(frozen=True)
class WarmupRule:
    """When to stop warming up: after `min` iterations, as soon as the last three are steady.

    min:    iterations at least
    max:    iterations at most
    span:   share of their median that the last three durations may span
    max_s:  seconds after which no iteration beyond `min` is begun
    """

    min: int
    max: int
    span: float
    max_s: float | None = None


NO_WARMUP = WarmupRule(0, 0, 0.05)


@dataclass(frozen=True)
class Questions:
    """Prompts whose answers a reader may look at.

    prompts:     token ids [question][tokens]
    new_tokens:  tokens of each answer
    """

    prompts: list[list[int]]
    new_tokens: int


@dataclass(frozen=True)
class Job:
    """job.json of a launch, which an engine's `load` is given.

    engine:           name of the engine
    variant:          name of the variant
    precision:        float32, bfloat16, float16, float8, int8 or int4
    scheme:           how the weights are held, in the engine's own word (q4_0, nf4)
    settings:         the variant's settings of engine.yaml, unchanged
    device:           the device to compute on
    model:            the model, and where it lies
    shape:            batch size and lengths
    warmup:           when to stop warming up
    repetitions:      measured iterations
    threads:          compute threads
    prompts:          token ids [iteration][batch][tokens], one prompt for each iteration
    probe_s:          seconds for which the device's bandwidth is measured before and after; null: not at all
    prefix_pairs:     pairs of one-token iterations, with a new prompt and with the same again
    score:            sequences of token ids to compute log-probabilities of, after the measurement
    score_generated:  how many of the first iterations' own sequences to score as well
    score_s:          seconds after which no further sequence is scored; null: no limit
    ask:              questions to answer after the measurement
    """

    engine: str
    variant: str
    precision: str
    scheme: str
    settings: dict[str, Any]
    device: DeviceFacts
    model: ModelFacts
    shape: Shape
    warmup: WarmupRule
    repetitions: int
    threads: int
    prompts: list[list[list[int]]]
    probe_s: float | None = None
    prefix_pairs: int = 0
    score: list[list[int]] = field(default_factory=list)
    score_generated: int = 0
    score_s: float | None = None
    ask: Questions | None = None
    schema: int = SCHEMA


@dataclass(frozen=True)
class ConversionJob:
    """job.json of a conversion, which an engine's `convert` is given.

    engine:     name of the engine
    variant:    name of the variant
    precision:  float32, bfloat16, float16, float8, int8 or int4
    scheme:     how the weights shall be held, in the engine's own word
    settings:   the variant's settings of engine.yaml, unchanged
    artefact:   name of what is made
    threads:    compute threads
    model:      the model, and where it lies
    """

    engine: str
    variant: str
    precision: str
    scheme: str
    settings: dict[str, Any]
    artefact: str
    threads: int
    model: ModelFacts
    schema: int = SCHEMA


@dataclass(frozen=True)
class LimitsJob:
    """job.json of the measurement of a device's limits.

    device:   the device to measure
    threads:  compute threads
    """

    device: DeviceFacts
    threads: int
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
    """One line of samples.jsonl: one iteration.

    i:              number of the iteration, from 0
    phase:          warmup, measure, or fresh and repeat: the two of a prefix pair
    steps_ns:       when the tokens of each step were on the host, in ns after the submit [steps]
    ids:            generated token ids [steps][batch]
    start_ns:       the submit, in ns of CLOCK_MONOTONIC
    ttft_ns:        time to first token in ns, from a one-token iteration of its own; only of an engine that does not
                    stream
    own_cpu_s:      CPU seconds of the process and its children
    foreign_cpu_s:  CPU seconds of everyone else on the host
    steal_s:        CPU seconds that the hypervisor gave to others
    """

    i: int
    phase: Phase
    steps_ns: list[int]
    ids: list[list[int]]
    start_ns: int | None = None
    ttft_ns: int | None = None
    own_cpu_s: float | None = None
    foreign_cpu_s: float | None = None
    steal_s: float | None = None


# -- result.json -----------------------------------------------------------------------------------------------------


@dataclass
class Loaded:
    """What REALLY got loaded, read back from the engine after loading - never copied from the request.

    version:       the engine's own version string
    dtype:         dtype in which the weights are held or computed: float32, bfloat16, float16
    weight_bytes:  bytes of all weight tensors as held, quantised tensors with their scales
    quantization:  scheme of the quantised weights as the engine names it (q8_0, nf4, int8), None when there is none
    threads:       compute threads that the engine reports to use, None on a GPU or where it does not say
    kv_dtype:      dtype of the KV cache, None where the engine does not say
    kv_bytes:      bytes of KV cache needed for this job's shape, None where unknown
    extra:         what else decides the numbers: attention kernel, compile mode, fallbacks of a quantiser
    """

    version: str
    dtype: str
    weight_bytes: int
    quantization: str | None = None
    threads: int | None = None
    kv_dtype: str | None = None
    kv_bytes: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Warmup:
    """How the warm-up went.

    iterations:  how many it took
    steady:      the last three durations lay within the rule's span
    """

    iterations: int
    steady: bool


@dataclass
class Memory:
    """Peak memory of the process and its children.

    peak_host_mib:         MiB of anonymous and shared memory, null where it cannot be read
    peak_mapped_file_mib:  MiB of mapped files, which are the page cache's
    source:                how it was read
    """

    peak_host_mib: float | None
    peak_mapped_file_mib: float | None = None
    source: str = ""


@dataclass
class Probe:
    """One measurement of a device's memory bandwidth.

    best_gbs:          GB/s (10^9 bytes) of the fastest pass
    last_level_cache:  bytes of the last cache level, null where unknown
    gbs:               GB/s of every pass
    method:            how it was measured
    buffer_bytes:      bytes that each pass reads
    threads:           threads that read
    """

    best_gbs: float
    last_level_cache: int | None = None
    gbs: list[float] = field(default_factory=list)
    method: str = ""
    buffer_bytes: int | None = None
    threads: int | None = None


@dataclass
class Score:
    """Teacher-forced log-probabilities of one sequence.

    mean_logprob:  mean of the sequence's own tokens, in nats
    file:          name of the file with all of them, float32 [tokens - 1, vocabulary]
    """

    mean_logprob: float
    file: str


@dataclass
class Failure:
    """result.json of a launch that failed; fields of Result that it came to are there as well.

    outcome:  why it failed, one of the outcome words
    reason:   the error's message or the end of its traceback
    """

    outcome: str
    reason: str | None = None
    schema: int = SCHEMA


@dataclass
class Result:
    """result.json of a launch whose outcome is ok.

    load_s:            seconds from the start of loading until the engine can generate
    loaded:            what the engine says that it loaded
    streams:           tokens are handed over step by step
    warmup:            how the warm-up went
    first_generate_s:  seconds of the very first iteration, which may compile
    memory:            peak memory until the end of the measurement
    samples:           number of iterations
    bandwidth:         bandwidth by when it was measured: before, after
    scores:            of each sequence that was scored; null where the engine gives no log-probabilities
    answers:           token ids that follow each question [question][tokens]
    environment:       Python, system and CPU affinity of the process
    """

    load_s: float
    loaded: Loaded
    streams: bool
    warmup: Warmup
    first_generate_s: float | None
    memory: Memory
    samples: int | None = None
    bandwidth: dict[str, Probe | None] = field(default_factory=dict)
    scores: list[Score | None] | None = None
    answers: list[list[int]] | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    outcome: Literal["ok"] = "ok"
    reason: str | None = None
    schema: int = SCHEMA
