"""Runs a task in a fresh container: no network, read-only root, no capabilities, not root, bounded memory and pids."""

from __future__ import annotations

import os
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import psutil
import requests
from docker.errors import APIError, NotFound
from docker.types import LogConfig, Mount, Ulimit

from orchestrator.base.errors import CellError
from orchestrator.base.signals import postponed, uninterrupted
from orchestrator.machine.detect import Device
from orchestrator.plan.engine import Engine
from orchestrator.sandbox.device_access import docker_flags, docker_options
from orchestrator.sandbox.images import LABEL, Image, Images
from orchestrator.sandbox.lease import Lease
from orchestrator.sandbox.orphans import LEASE_LABEL
from orchestrator.sandbox.task import (
    ARTEFACT,
    JOB,
    LEASE,
    LOG_LIMIT,
    MODEL,
    OUT,
    Ended,
    Task,
    family,
    how_it_ended,
    supervised,
    write_job,
    write_reproduction,
)

PIDS_LIMIT = 4096
CONTAINER_USER = 10001
SHM = "1g"
TMP = "rw,exec,nosuid,size=4g"  # exec: kernel compilers load their output from here


class DockerSandbox:
    """One per run."""

    isolation = "docker"

    def __init__(
        self,
        client: docker.DockerClient,
        images: Images,
        device: Device,
        cpu_features: str,
        memory_limit: int | None = None,
    ):
        """`memory_limit`: bytes that one container may use; default: nine tenths of the host's memory."""
        self._client, self._images, self._device, self._cpu_features = client, images, device, cpu_features
        self._lease = Lease(self.isolation)
        self._running: Any = None
        self._pid: int | None = None  # of the container's first process, on the host
        # A tenth is left to the daemon and this process, so that the OOM killer takes the container, not the host.
        self._memory = memory_limit or int(psutil.virtual_memory().total * 0.9)
        # The container must be able to write to mounted folders. Root is replaced by a separate user.
        self._uid = os.getuid() or CONTAINER_USER
        self._gid = os.getgid() or CONTAINER_USER

    def prepare(self, engine: Engine, kind: str) -> Image:
        return self._images.ensure(engine, kind, self._cpu_features)

    def recall(self, tag: str, image_id: str, recipe: tuple[str, ...]) -> Image | None:
        return self._images.recall(tag, image_id, recipe)

    def run(self, prepared: Image, task: Task) -> Ended:
        job = write_job(task, MODEL, ARTEFACT if task.artefact else None)
        if os.getuid() == 0:
            os.chown(task.out, self._uid, self._gid)
            self._refuse_unreadable(task.model)
        mounts = [(job, JOB, True), (task.model, MODEL, True), (task.out, OUT, False)]
        if task.artefact:
            mounts.append((task.artefact, ARTEFACT, True))
        self._write_reproduction(prepared, task, mounts)
        if self._lease.path:
            mounts.append((self._lease.path, LEASE, True))
        try:
            # An interrupt in between would leave a container that nothing removes.
            with postponed():
                self._running = self._create(prepared, task, mounts)
            return self._wait(self._running, task)
        finally:
            self.stop()

    def _create(self, prepared: Image, task: Task, mounts: list[tuple[Path, str, bool]]) -> Any:
        try:
            return self._client.containers.create(
                prepared.id,
                supervised(task, LEASE if self._lease.path else None, OUT),
                entrypoint=["python"],
                user=f"{self._uid}:{self._gid}",
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                pids_limit=PIDS_LIMIT,
                mem_limit=self._memory,
                memswap_limit=self._memory,
                shm_size=SHM,
                ulimits=[Ulimit(name="core", soft=0, hard=0)],
                tmpfs={"/tmp": TMP},
                environment={"HOME": "/tmp", **task.environment},
                mounts=[
                    Mount(target, str(source.resolve()), type="bind", read_only=ro) for source, target, ro in mounts
                ],
                labels={LABEL: "launch", f"{LABEL}.engine": task.engine, LEASE_LABEL: str(self._lease.path or "")},
                log_config=LogConfig(type="json-file", config={"max-size": str(LOG_LIMIT), "max-file": "1"}),
                **docker_options(self._device),
            )
        except APIError as error:
            raise CellError("harness_error", f"docker create: {error.explanation}") from error

    def _wait(self, container: Any, task: Task) -> Ended:
        """Sleep in one blocking request until the container ends, so as not to disturb the measurement."""
        started = time.monotonic()
        try:
            container.start()
        except APIError as error:
            raise CellError("harness_error", f"docker start: {error.explanation}") from error
        start_s = time.monotonic() - started
        if self._device.kind != "cpu":  # the PIDs serve only to attribute GPU memory
            container.reload()
            self._pid = container.attrs["State"].get("Pid")
        timed_out = False
        try:
            code = container.wait(timeout=task.wall_s)["StatusCode"]
        except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
            timed_out = True
            code = None
            _kill(container)
        wall_s = time.monotonic() - started
        container.reload()
        state = container.attrs["State"]
        (task.directory / "stdout.log").write_bytes(container.logs(stdout=True, stderr=False))
        (task.directory / "stderr.log").write_bytes(container.logs(stdout=False, stderr=True))
        oom_killed = bool(state.get("OOMKilled"))
        return Ended(
            oom_killed=oom_killed, timed_out=timed_out, wall_s=wall_s, container_start_s=start_s, **how_it_ended(code)
        )

    def _refuse_unreadable(self, model: Path) -> None:
        """Engines report a file that their user may not read as missing: name the cause here."""
        for path in model.iterdir():
            if not path.stat().st_mode & 0o004:
                raise CellError(
                    "fetch_failed",
                    f"{path} is not readable for user {self._uid} in the container: chmod -R a+rX {model}",
                )

    def pids(self) -> set[int]:
        return family(self._pid)

    def stop(self) -> None:
        self._pid = None
        if self._running is not None:
            container, self._running = self._running, None
            with uninterrupted(), suppress(NotFound, APIError):  # already removed
                container.remove(force=True, v=True)

    def _write_reproduction(self, image: Image, task: Task, mounts: list[tuple[Path, str, bool]]) -> None:
        """Write this launch as plain docker commands."""
        out = Path("reproduced")
        flags = ["--rm", "--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges"]
        flags += [f"--user {self._uid}:{self._gid}", f"--pids-limit {PIDS_LIMIT}", f"--memory {self._memory}"]
        flags += [f"--memory-swap {self._memory}", f"--shm-size {SHM}", "--ulimit core=0", f"--tmpfs /tmp:{TMP}"]
        flags += [*docker_flags(self._device), "-e HOME=/tmp"]
        flags += [f"-e {key}={shlex.quote(value)}" for key, value in sorted(task.environment.items())]
        for source, target, read_only in mounts:
            host_path = f'"$PWD/{out}"' if target == OUT else shlex.quote(str(source.resolve()))
            flags.append(f"-v {host_path}:{target}{':ro' if read_only else ''}")
        run = "docker run " + " \\\n  ".join(flags) + f" \\\n  --entrypoint python {image.tag} -m {task.module}"
        write_reproduction(task, *image.recipe, f"mkdir -p {out} && chmod 777 {out}", run)


def _kill(container: Any) -> None:
    with suppress(NotFound, APIError):  # it has ended by itself
        container.kill()
