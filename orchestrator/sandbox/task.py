"""The task that a sandbox runs, how it ended, and the interface of `DockerSandbox` and `VenvSandbox`."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import psutil

from common.contract import ConversionJob, Job, LimitsJob
from orchestrator.plan.engine import Engine
from orchestrator.plan.profiles import HANG_S

ISOLATIONS = ("auto", "docker", "venv")
JOB, OUT, MODEL, ARTEFACT = "/job/job.json", "/out", "/model", "/artefact"
LEASE = "/job/lease"
LOG_LIMIT = 10 << 20  # bytes of stdout and of stderr that are stored
HUNG = 124  # exit code of common/supervise.py for a hung task


@dataclass(frozen=True)
class Task:
    """One module of an engine's folder (bench or convert) to run on one job."""

    engine: str
    module: str  # "bench_pytorch.bench"
    job: Job | ConversionJob | LimitsJob | None  # None: the module needs to know nothing
    directory: Path  # for job.json, out/, stdout.log, stderr.log and reproduce.sh
    out: Path  # writable by the engine
    model: Path
    artefact: Path | None
    wall_s: float
    environment: dict[str, str] = field(default_factory=dict)
    hang_s: float = HANG_S  # without progress for this long, the task is killed


@dataclass(frozen=True)
class Ended:
    """How a task ended. `signal` is the signal's number when one killed it."""

    exit_code: int | None
    signal: int | None
    oom_killed: bool
    timed_out: bool
    wall_s: float
    container_start_s: float | None = None
    hung: bool = False


def how_it_ended(code: int | None) -> dict[str, Any]:
    """Fields of Ended from an exit code of common/supervise.py; None: the task was killed."""
    number = code - 128 if code is not None and code > 128 and code - 128 in set(signal.Signals) else None
    return {"exit_code": code, "signal": number, "hung": code == HUNG}


def supervised(task: Task, lease: str | None, out: str, *arguments: str) -> list[str]:
    """Arguments of `python` to run the task under common/supervise.py; paths as seen in the sandbox."""
    watching = ["--hang-s", str(task.hang_s), "--watch", f"{out}/samples.jsonl"]
    return ["-m", "common.supervise", *(["--lease", lease] if lease else []), *watching, "--", task.module, *arguments]


class Prepared(Protocol):
    """What an engine runs in: an image or a virtual environment."""

    @property
    def tag(self) -> str:
        """Its name, a hash over all that went into it."""

    @property
    def id(self) -> str:
        """What it is in this place: the same content built again has another."""

    @property
    def recipe(self) -> tuple[str, ...]:
        """The shell commands that make it again."""


class Sandbox(Protocol):
    isolation: str

    def prepare(self, engine: Engine, kind: str) -> Prepared:
        """Build the environment of `engine`. Raises CellError `build_failed`."""

    def recall(self, tag: str, image_id: str, recipe: tuple[str, ...]) -> Prepared | None:
        """The result of an earlier `prepare`; None if it no longer exists."""

    def run(self, prepared: Any, task: Task) -> Ended:
        """Run `task` to its end in what this very sandbox has prepared."""

    def pids(self) -> set[int]:
        """The host's PIDs of the running task."""

    def stop(self) -> None:
        """Stop and remove the running task, if any."""


def family(pid: int | None) -> set[int]:
    """`pid` and all its living descendants; empty without one."""
    if not pid:
        return set()
    try:
        process = psutil.Process(pid)
        return {pid, *(child.pid for child in process.children(recursive=True))}
    except psutil.Error:  # it has ended
        return set()


def thread_environment(threads: int) -> dict[str, str]:
    """The variables that set the thread count of BLAS and OpenMP libraries, and keep Hugging Face's offline."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return {
        **dict.fromkeys(names, str(threads)),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def write_job(task: Task, model: str, artefact: str | None) -> Path:
    """job.json as the engine sees it: the paths are those inside the sandbox."""
    job = task.job
    if isinstance(job, Job | ConversionJob):
        job = replace(job, model=replace(job.model, path=model, artefact=artefact or model))
    path = task.directory / "job.json"
    path.write_text(json.dumps(job, default=vars) + "\n", encoding="utf-8")
    path.chmod(0o644)  # read by another user inside the container
    return path


def write_reproduction(task: Task, *commands: str) -> None:
    """Write reproduce.sh, whose shell `commands` repeat this launch without the orchestrator."""
    title = "# This launch again, without the orchestrator. Run it in the root of the checkout."
    path = task.directory / "reproduce.sh"
    path.write_text("\n".join(["#!/bin/sh", title, "set -e", *commands]) + "\n", encoding="utf-8")
    path.chmod(0o755)


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log, at most 16 KiB, undecodable bytes replaced."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (16 << 10)))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""
