"""Chooses the sandbox of a run: containers or virtual environments."""

from __future__ import annotations

import docker
from docker.errors import DockerException

from orchestrator.base.errors import UserError, unknown
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.machine import host
from orchestrator.machine.detect import Device
from orchestrator.machine.site import Site
from orchestrator.plan.profiles import BUILD_S
from orchestrator.sandbox import orphans
from orchestrator.sandbox.containers import DockerSandbox
from orchestrator.sandbox.images import Images
from orchestrator.sandbox.task import ISOLATIONS, Sandbox
from orchestrator.sandbox.venvs import VenvSandbox


def sandbox_for(
    isolation: str,
    target: Device,
    workspace: Workspace,
    progress: Progress,
    build_s: float = BUILD_S,
    memory_limit: int | None = None,
) -> Sandbox:
    """The requested sandbox; `auto` takes Docker if its daemon answers, and prints the choice with the reason.

    `build_s`: seconds that a build or an install may take. `memory_limit`: bytes that one launch may use.
    """
    if isolation not in ISOLATIONS:
        raise unknown("isolation", isolation, ISOLATIONS)
    features, site = host.cpu_features_digest(), Site.read(workspace.site)
    places = (workspace.root, workspace.cache)

    def venv(reason: str) -> Sandbox:
        if memory_limit is not None:
            raise UserError(
                f"--memory-limit: virtual environments limit no memory ({reason}); leave it out, or use Docker"
            )
        progress.say(f"isolation: one virtual environment per engine ({reason})")
        return VenvSandbox(site, target, features, progress, *places, build_s)

    if isolation == "venv":
        return venv("as asked")
    if target.kind == "metal":
        if isolation == "docker":
            raise UserError("--isolation docker: containers cannot reach Metal; use --isolation venv")
        return venv("containers cannot reach Metal")
    try:
        client = docker.from_env()
        client.ping()
    except (DockerException, OSError) as error:
        reason = str(error).splitlines()[0]
        if isolation == "docker":
            raise UserError(
                f"--isolation docker: the Docker daemon does not answer ({reason}); `./benchmark.sh doctor` says what "
                "to do, or use --isolation venv"
            ) from error
        return venv(f"the Docker daemon does not answer: {reason}")
    progress.say("isolation: Docker, one container per launch (its daemon answers)")
    orphans.reap(client, progress.say)
    return DockerSandbox(client, Images(client, site, progress, *places, build_s), target, features, memory_limit)
