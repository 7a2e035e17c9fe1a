"""What a sandbox is asked to run, and how it ended. `DockerSandbox` and `VenvSandbox` both take a Task."""

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
LOG_LIMIT = 10 << 20  # bytes of stdout and of stderr that are kept
HUNG = 124  # the exit code with which common/supervise.py says so


@dataclass(frozen=True)
class Task:
    """One module of an engine's folder (bench or convert) to run on one job."""

    engine: str
    module: str  # "bench_pytorch.bench"
    job: Job | ConversionJob | LimitsJob | None  # None: the module needs to know nothing
    directory: Path  # job.json, out/, stdout.log, stderr.log and reproduce.sh are put here
    out: Path  # writable by the engine
    model: Path
    artefact: Path | None
    wall_s: float
    environment: dict[str, str] = field(default_factory=dict)
    hang_s: float = HANG_S  # without a sign of life for so long, it is ended


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
    """exit_code, signal and hung of an exit code of common/supervise.py; None: it had to be killed."""
    number = code - 128 if code is not None and code > 128 and code - 128 in set(signal.Signals) else None
    return {"exit_code": code, "signal": number, "hung": code == HUNG}


def supervised(task: Task, lease: str | None, out: str, *arguments: str) -> list[str]:
    """What follows `python` to run the task under common/supervise.py, with the paths that it sees."""
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
        """Build what is needed to run `engine`. Raises CellError `build_failed`."""

    def recall(self, tag: str, image_id: str, recipe: tuple[str, ...]) -> Prepared | None:
        """What an earlier `prepare` returned, None where it is gone and has to be prepared anew."""

    def run(self, prepared: Any, task: Task) -> Ended:
        """Run `task` to its end in what this very sandbox has prepared."""

    def pids(self) -> set[int]:
        """The host's PIDs of what is running now."""

    def stop(self) -> None:
        """Stop and remove whatever is still running."""


def family(pid: int | None) -> set[int]:
    """`pid` and all its living descendants; empty without one."""
    if not pid:
        return set()
    try:
        process = psutil.Process(pid)
        return {pid, *(child.pid for child in process.children(recursive=True))}
    except psutil.Error:  # it ended meanwhile
        return set()


def thread_environment(threads: int) -> dict[str, str]:
    """The variables by which BLAS and OpenMP libraries are told the thread count before they start."""
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


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log, at most 16 KiB, undecodable bytes replaced."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - (16 << 10)))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""
