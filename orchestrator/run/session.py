"""What a command measures with: a locked device and a sandbox on it; for run, replay, check and limits alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.contract import ConversionJob, DeviceFacts, Job, LimitsJob
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.machine import host
from orchestrator.machine.detect import Device
from orchestrator.machine.lock import device_lock
from orchestrator.plan.engine import Engine
from orchestrator.plan.profiles import BUILD_S, HANG_S
from orchestrator.sandbox.isolation import sandbox_for
from orchestrator.sandbox.task import Sandbox, Task, thread_environment


@dataclass(frozen=True)
class Setup:
    """How a command uses its device."""

    isolation: str = "auto"
    threads: int | None = None  # None: one per physical core
    wait_s: float = 0.0  # for a device that another command holds
    build_s: float = BUILD_S  # time limit of one image, or environment
    memory_limit: int | None = None  # bytes that one launch may take; None: the sandbox's default


@dataclass(frozen=True)
class Workbench:
    """What is available while a device is locked."""

    workspace: Workspace
    device: Device
    sandbox: Sandbox
    engines: Mapping[str, Engine]  # all of the checkout by name, contenders or not
    threads: int
    progress: Progress

    @property
    def device_facts(self) -> DeviceFacts:
        """The section `device` of a job."""
        return DeviceFacts(self.device.kind, list(self.device.ids), self.device.name)

    def task(
        self, engine: Engine, module: str, job: Job | ConversionJob | LimitsJob, directory: Path, *, model: Path,
        artefact: Path | None = None, wall_s: float, hang_s: float = HANG_S,
    ) -> Task:  # fmt: skip
        """A task in `directory`, with the workbench's number of threads.

        `module` is a module of the engine's folder ("bench") or, if it has a dot, of common ("common.limits").
        """
        return Task(
            engine=engine.name, module=module if "." in module else f"{engine.folder.name}.{module}", job=job,
            directory=directory, out=directory / "out", model=model, artefact=artefact, wall_s=wall_s, hang_s=hang_s,
            environment=thread_environment(self.threads),
        )  # fmt: skip


@contextmanager
def open_session(
    workspace: Workspace, device: Device, setup: Setup, engines: Mapping[str, Engine], progress: Progress
) -> Iterator[Workbench]:
    """Lock `device` and make a sandbox on it.

    Raises UserError if the isolation is not available, BlockingIOError if another process keeps the device.
    """
    sandbox = sandbox_for(setup.isolation, device, workspace, progress, setup.build_s, setup.memory_limit)
    with device_lock(device, workspace.locks, setup.wait_s, progress.say):
        threads = setup.threads or host.default_threads()
        yield Workbench(workspace, device, sandbox, engines, threads, progress)
