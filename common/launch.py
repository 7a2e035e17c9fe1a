"""One launch: load, warm up, measure, score, close; job.json in, samples.jsonl and result.json out.

Exit codes: 0 measured; 1 failed, with the word and reason in result.json. stdout and stderr are logs, never a protocol.
"""

from __future__ import annotations

import argparse
import atexit
import errno
import faulthandler
import gc
import json
import math
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.contract import Failure, Job, Loaded, Phase, Questions, Result, Sample, Score, Warmup, read_job
from common.engine import Engine, Unsupported
from common.limits import bandwidth
from common.machine import CpuClock, MemoryProbe, processes_left
from common.timing import Iteration, TokenAudit, is_steady, time_iteration
from common.tools.result_files import SampleLog, write_json_atomically

TRACEBACK_LINES = 15


class Failed(Exception):
    """The launch ends with this outcome word and reason."""

    def __init__(self, outcome: str, reason: str):
        super().__init__(reason)
        self.outcome = outcome


def main(engine_class: type[Engine]) -> None:
    """Entry of every bench.py. Never returns: exits 0 or 1."""
    parser = argparse.ArgumentParser(description="Run one launch of this engine.")
    parser.add_argument("--job", type=Path, default=Path("/job/job.json"))
    parser.add_argument("--out", type=Path, default=Path("/out"))
    parser.add_argument("--smoke", action="store_true", help="only prove that this module and its imports load")
    options = parser.parse_args()
    if options.smoke:
        print(f"{engine_class.__name__}: imports work")
        sys.exit(0)
    faulthandler.enable()
    # Registered first, so that it runs last, after the exit handlers of the engine and its libraries.
    atexit.register(lambda: write_json_atomically(options.out / "processes_left.json", processes_left()))
    sys.exit(run(engine_class, read_job(options.job, Job), options.out))


def run(engine_class: type[Engine], job: Job, out: Path) -> int:
    """Run `job` and write result.json into `out`, whatever happens. Returns the exit code, 0 or 1."""
    facts: dict[str, Any] = {"environment": _environment()}  # fields of Result, as far as the launch comes
    outcome, reason = "harness_error", None
    limits = _Limits(job)
    limits.probe("before")
    memory = MemoryProbe()
    samples = SampleLog(out / "samples.jsonl")
    try:
        engine, iterations = _measure(engine_class, job, facts, samples)
        memory.stop()  # before scoring, whose log-probabilities are larger than many models
        _score_and_ask(engine, iterations, job, out, facts)
        _guard("engine_error", engine.close)
        limits.probe("after")
        outcome = "ok"
    except Failed as failure:
        outcome, reason = failure.outcome, str(failure)
    except MemoryError:
        outcome, reason = "oom_suspected", _tail()
    except OSError as error:
        outcome = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else outcome
        reason = _tail()
    except Exception:  # not the engine's fault: the outcome stays harness_error, with a reason
        reason = _tail()
    samples.close()
    facts.update(memory=memory.peak(), bandwidth=limits.readings)
    if outcome == "ok":
        write_json_atomically(out / "result.json", Result(**facts))
        return 0
    write_json_atomically(out / "result.json", {**facts, **vars(Failure(outcome, reason))})
    print(f"{outcome}: {reason}", file=sys.stderr, flush=True)
    return 1


def _measure(
    engine_class: type[Engine], job: Job, facts: dict[str, Any], samples: SampleLog
) -> tuple[Engine, _Iterations]:
    """Load, warm up, measure. Fills `facts` as it goes, so that a failure keeps what came before it."""
    started = time.monotonic()
    engine, loaded = _guard("load_failed", lambda: _load(engine_class, job))
    facts["load_s"] = time.monotonic() - started
    gc.collect()
    gc.freeze()  # spares every later collection a framework's hundred thousand objects
    facts["loaded"] = loaded
    facts["streams"] = engine.streams

    iterations = _Iterations(engine, job, samples)
    facts["warmup"] = iterations.warm_up()
    facts["first_generate_s"] = iterations.first_generate_s
    for _ in range(job.repetitions):
        iterations.next("measure")
    for _ in range(job.prefix_pairs):
        iterations.prefix_pair()
    facts["samples"] = iterations.count
    return engine, iterations


def _score_and_ask(engine: Engine, iterations: _Iterations, job: Job, out: Path, facts: dict[str, Any]) -> None:
    """Log-probabilities and answers to questions, in one launch of a cell and after its speed is on disk."""
    sequences = [*job.score, *iterations.sequences[: job.score_generated]]
    if sequences:
        seconds = job.score_s or math.inf
        facts["scores"] = _guard("engine_error", lambda: _score(engine, sequences, out, seconds))
    if questions := job.ask:
        facts["answers"] = _guard("engine_error", lambda: _ask(engine, questions, job.shape.batch_size))


class _Limits:
    """The device's bandwidth right before and after what is measured, if the job asks for it."""

    def __init__(self, job: Job):
        self._seconds, self._kind, self._threads = job.probe_s, job.device.kind, job.threads
        self.readings: dict[str, Any] = {}

    def probe(self, when: str) -> None:
        if self._seconds:
            self.readings[when] = bandwidth.probe(self._kind, self._threads, self._seconds)


def _load(engine_class: type[Engine], job: Job) -> tuple[Engine, Loaded]:
    engine = engine_class()
    loaded = engine.load(job)
    if not isinstance(loaded, Loaded):
        raise TypeError(f"load returned {loaded!r}, not Loaded")
    json.dumps(vars(loaded), allow_nan=False)  # fail now: a value that JSON lacks would cost the result at the end
    return engine, loaded


class _Iterations:
    """Runs the job's prompts one after another; every iteration has prompts of its own, so no prefix cache can help."""

    def __init__(self, engine: Engine, job: Job, samples: SampleLog):
        self._engine, self._job, self._samples = engine, job, samples
        self.count = 0
        self.sequences: list[list[int]] = []  # prompt + generated tokens of the first row of every iteration
        self.first_generate_s: float | None = None

    def warm_up(self) -> Warmup:
        """At least `min` iterations, then until the last three are steady, at most `max`.

        After `max_s` seconds none beyond `min` is started: large models on a CPU would warm up for 15 minutes.
        """
        rule = self._job.warmup
        longest = math.inf if rule.max_s is None else rule.max_s
        durations: list[float] = []
        while len(durations) < rule.max:
            if len(durations) >= rule.min and sum(durations) >= longest:
                break
            durations.append(self.next("warmup"))
            if len(durations) >= rule.min and is_steady(durations, rule.span):
                return Warmup(len(durations), steady=True)
        return Warmup(len(durations), is_steady(durations, rule.span) or not rule.max)

    def next(self, phase: Phase) -> float:
        """Run, audit and record one iteration. Returns its duration in seconds."""
        prompts, new_tokens = self._job.prompts[self.count], self._job.shape.new_tokens
        cpu = CpuClock()
        ttft_ns = None
        if not self._engine.streams:
            ttft_ns = self._iterate(prompts, 1).steps_ns[-1]
            cpu.lap()
        iteration = self._iterate(prompts, new_tokens)
        seconds = iteration.steps_ns[-1] / 1e9
        if self.first_generate_s is None:
            self.first_generate_s = seconds
        self.sequences.append(prompts[0] + [step[0] for step in iteration.ids])
        self._record(phase, iteration, cpu, ttft_ns)
        self.count += 1
        return seconds

    def prefix_pair(self) -> None:
        """One token for a new prompt, then one for the same prompt again, which a prefix cache would make faster."""
        prompts = self._job.prompts[self.count]
        for phase in ("fresh", "repeat"):
            cpu = CpuClock()
            self._record(phase, self._iterate(prompts, 1), cpu)
        self.count += 1

    def _record(self, phase: Phase, iteration: Iteration, cpu: CpuClock, ttft_ns: int | None = None) -> None:
        sample = Sample(self.count, phase, iteration.steps_ns, iteration.ids, iteration.start_ns, ttft_ns, **cpu.lap())
        self._samples.append(sample)

    def _iterate(self, prompts: list[list[int]], new_tokens: int) -> Iteration:
        try:
            return time_iteration(self._engine.generate, prompts, new_tokens)
        except TokenAudit as error:
            raise Failed("invalid_output", str(error)) from error
        except MemoryError:
            raise
        except Exception as error:
            raise Failed("engine_error", _tail()) from error


def _score(engine: Engine, sequences: list[list[int]], out: Path, seconds: float) -> list[Score | None]:
    """Teacher-forced log-probabilities of every sequence, saved as logprobs-<k>.npy ([tokens - 1, vocab] float32).

    No sequence is started after `seconds`: the list is then shorter. None: the engine has no log-probabilities.
    """
    scores: list[Score | None] = []
    deadline = time.monotonic() + seconds
    for number, tokens in enumerate(sequences):
        if number and time.monotonic() > deadline:
            break
        values = engine.logprobs(tokens)
        if values is NotImplemented:
            scores.append(None)
            continue
        import numpy as np  # noqa: PLC0415 - only scoring needs it, and importing it takes 0.1 s

        values = np.asarray(values, dtype=np.float32)
        if values.ndim != 2 or values.shape[0] != len(tokens) - 1:
            raise ValueError(f"logprobs has shape {values.shape} for {len(tokens)} tokens: want [{len(tokens) - 1}, V]")
        np.save(out / f"logprobs-{number}.npy", values)
        own = values[np.arange(len(tokens) - 1), tokens[1:]]
        mean = float(own.mean())
        if not math.isfinite(mean):
            raise ValueError(f"the mean log-probability of sequence {number} is {mean}")
        scores.append(Score(mean, f"logprobs-{number}.npy"))
    return scores


def _ask(engine: Engine, ask: Questions, batch: int) -> list[list[int]]:
    """The tokens that follow every question; all rows of the batch get the same question, and the first row is kept."""
    return [[int(step[0]) for step in engine.generate([question] * batch, ask.new_tokens)] for question in ask.prompts]


def _guard(outcome: str, action: Callable[[], Any]) -> Any:
    """Run `action`; an exception ends the launch with `outcome`, Unsupported with `unsupported`."""
    try:
        return action()
    except Unsupported as error:
        raise Failed("unsupported", str(error)) from error
    except MemoryError:
        raise
    except Exception as error:
        raise Failed(outcome, _tail()) from error


def _tail() -> str:
    """The last lines of the traceback that is being handled."""
    head, *lines = traceback.format_exc().strip().splitlines()
    return "\n".join([head, *lines[-TRACEBACK_LINES:]])


def _environment() -> dict[str, Any]:
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {"python": platform.python_version(), "system": platform.platform(), "cpus": affinity}
