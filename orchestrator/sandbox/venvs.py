"""Runs a task in a virtual environment: for hosts without Docker, and for devices that containers cannot use.

It uses the same lock file and build script as the image. It isolates software only: the engine's code runs as the
user, with the user's network and files.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import CellError, disk_full_or
from orchestrator.base.files import only_one
from orchestrator.base.progress import Progress, duration
from orchestrator.base.signals import uninterrupted
from orchestrator.machine.detect import Device
from orchestrator.machine.site import Site
from orchestrator.plan.engine import Engine
from orchestrator.plan.profiles import BUILD_S
from orchestrator.sandbox.device_access import venv_environment
from orchestrator.sandbox.image_context import content_hash, context_files
from orchestrator.sandbox.images import LOG_LINES
from orchestrator.sandbox.lease import Lease, sweep
from orchestrator.sandbox.package_index import further_indexes
from orchestrator.sandbox.task import Ended, Task, family, how_it_ended, supervised, write_job, write_reproduction

# The user's variables that engines inherit: no token, and nothing that changes a result.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_HOME", "ROCM_PATH")
# An install inherits all but secrets: it needs the site's settings for compilers, proxies and certificates.
SECRET = re.compile("TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)

STOP_S = 10.0  # more than the two seconds that the supervisor gives an engine to end


@dataclass(frozen=True)
class Environment:
    """A virtual environment; `tag` contains a content hash, as an image's tag does."""

    tag: str
    id: str
    path: Path
    recipe: tuple[str, ...]


class VenvSandbox:
    """One per run."""

    isolation = "venv"

    def __init__(
        self,
        site: Site,
        device: Device,
        cpu_features: str,
        progress: Progress,
        root: Path,
        cache: Path,
        build_s: float = BUILD_S,
    ):
        self._site, self._device, self._cpu_features, self._progress = site, device, cpu_features, progress
        self._root, self._cache, self._build_s = root, cache, build_s
        sweep(self.isolation)
        self._lease = Lease(self.isolation)
        self._running: subprocess.Popen | None = None

    def prepare(self, engine: Engine, kind: str) -> Environment:
        """Create the environment unless one with this content exists. Raises CellError("build_failed")."""
        entry = engine.devices[kind]
        files = context_files(self._root, *engine.folders)
        slow = {
            name: path
            for name, path in files.items()
            if name.endswith((".txt", ".sh", ".rs", ".toml", ".lock", ".patch"))
            and ("/requirements/" not in name or name.endswith(f"/{kind}.txt"))
        }
        arguments = {"DEVICE": kind, "CPU": self._cpu_features if entry.native else ""}
        installed = content_hash(slow, arguments, None)  # bench.py and common/ are run from the checkout
        name = f"{engine.name}-{kind}-{installed}"
        path = self._cache / "venvs" / name
        install = f"sh docker/install.sh {engine.software.name} {kind} {shlex.quote(str(path))}"
        content = content_hash(files, arguments, None)
        if not (path / ".complete").exists():
            extra = further_indexes(engine, kind, self._site, self._progress.say)
            self._install(engine, name, path, install, {"PIP_EXTRA_INDEX_URL": extra} if extra else {})
        return Environment(f"venv:{engine.name}-{kind}-{content}", content, path, (install,))

    def recall(self, tag: str, image_id: str, recipe: tuple[str, ...]) -> None:
        """None: an environment always runs the current code of the checkout."""

    def _install(self, engine: Engine, name: str, path: Path, install: str, extra: dict[str, str]) -> None:
        with only_one(path.with_name(f".{name}.lock"), f"installing {name}", self._progress.say):
            if (path / ".complete").exists():
                return
            shutil.rmtree(path, ignore_errors=True)
            self._progress.say(f"{engine.name}: installing into {path}")
            lines: deque[str] = deque(maxlen=LOG_LINES)
            started = time.monotonic()
            inherited = {key: value for key, value in os.environ.items() if not SECRET.search(key)}
            environment = {**inherited, **self._site.pip_environment(), **extra}
            with subprocess.Popen(
                shlex.split(install), cwd=self._root, env=environment, text=True, errors="replace",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            ) as process, _killed_after(self._build_s, process):  # fmt: skip
                for line in process.stdout or ():
                    lines.append(line.rstrip())
                    spent = duration(time.monotonic() - started)
                    self._progress.status(f"  {engine.name}: {spent}: {lines[-1]}", engine.name)
            self._progress.done(engine.name)
            if process.returncode == -signal.SIGKILL and time.monotonic() - started >= self._build_s:
                lines.append(f"it took longer than {self._build_s:.0f} s")
            if process.returncode:
                reason = f"`{install}` failed; the last lines were:\n" + "\n".join(lines)
                raise CellError(disk_full_or("build_failed", reason), reason)
            (path / ".complete").touch()
            self._progress.say(f"  {engine.name}: installed in {duration(time.monotonic() - started)}")

    def run(self, prepared: Environment, task: Task) -> Ended:
        # Absolute paths: the process works in its own folder.
        job = write_job(
            task, str(task.model.resolve()), str(task.artefact.resolve()) if task.artefact else None
        ).resolve()
        lease, out = self._lease.path, str(task.out.resolve())
        command = supervised(task, str(lease) if lease else None, out, "--job", str(job), "--out", out)
        command.insert(0, str(prepared.path / "bin" / "python"))
        extra = {**task.environment, **venv_environment(self._device), "PYTHONPATH": str(self._root)}
        environment = {**{key: os.environ[key] for key in PASSED_ON if key in os.environ}, **extra}
        environment["PATH"] = f"{prepared.path / 'bin'}:{environment.get('PATH', '/usr/bin:/bin')}"
        self._write_reproduction(prepared, task, job, extra)
        started = time.monotonic()
        with (task.directory / "stdout.log").open("ab") as stdout, (task.directory / "stderr.log").open("ab") as stderr:
            # A session of its own, so that the engine's child processes can be killed with it.
            self._running = subprocess.Popen(
                command,
                cwd=task.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            timed_out = False
            try:
                code: int | None = self._running.wait(timeout=task.wall_s)
            except subprocess.TimeoutExpired:
                timed_out, code = True, None
            finally:
                self.stop()
        wall_s = time.monotonic() - started
        return Ended(oom_killed=False, timed_out=timed_out, wall_s=wall_s, **how_it_ended(code))

    def pids(self) -> set[int]:
        return family(self._running.pid if self._running else None)

    def stop(self) -> None:
        if self._running is None:
            return
        process, self._running = self._running, None
        with uninterrupted():
            process.terminate()  # the supervisor ends the engine and its child processes, if need be by force
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            with suppress(ProcessLookupError):  # the group has ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _write_reproduction(self, prepared: Environment, task: Task, job: Path, extra: dict[str, str]) -> None:
        variables = " ".join(f"{key}={shlex.quote(value)}" for key, value in sorted(extra.items()))
        python = shlex.quote(str(prepared.path / "bin" / "python"))
        run = f"env {variables} {python} -m {task.module} --job {shlex.quote(str(job))} --out reproduced"
        write_reproduction(task, f"test -x {python} || {prepared.recipe[0]}", "mkdir -p reproduced", run)


@contextmanager
def _killed_after(seconds: float, process: subprocess.Popen) -> Iterator[None]:
    """Kill `process`, a session leader, and its children after `seconds` or if the body raises."""

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    except BaseException:
        kill()
        raise
    finally:
        timer.cancel()
