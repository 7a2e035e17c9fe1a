"""Removes containers whose orchestrator was killed. They end by themselves; the next run removes them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from orchestrator.sandbox import lease
from orchestrator.sandbox.images import LABEL

LEASE_LABEL = f"{LABEL}.lease"
FORGOTTEN = timedelta(hours=1)  # since the container ended, if its lease is missing, as after a reboot


def reap(client: docker.DockerClient, say: Callable[[str], None]) -> int:
    """Remove orphaned launches; returns their number. A living orchestrator holds its lease."""
    count, leases = 0, set()
    for container in client.containers.list(all=True, filters={"label": f"{LABEL}=launch"}, ignore_removed=True):
        path = Path(container.labels.get(LEASE_LABEL) or "/nowhere")
        leases.add(path)
        if lease.is_free(path) or (not path.exists() and _ended_long_ago(container)):
            with suppress(NotFound, APIError):  # removed by another orchestrator
                container.remove(force=True, v=True)
                count += 1
            with suppress(OSError):
                path.unlink(missing_ok=True)
    lease.sweep("docker", leases)
    if count:
        say(f"removed {count} container(s) of a run that was killed")
    return count


def _ended_long_ago(container) -> bool:
    """Whether the container ended, or was created and never started, long ago."""
    state = container.attrs["State"]
    last = state.get("FinishedAt") or ""
    if last.startswith("0001"):
        last = container.attrs.get("Created") or ""
    if state.get("Running") or not last:
        return False
    ended = datetime.fromisoformat(last[:19]).replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc) - ended > FORGOTTEN
