"""Containers of this suite whose orchestrator was killed: they end by themselves, and the next start removes them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

from orchestrator import lease
from orchestrator.images import LABEL

LEASE_LABEL = f"{LABEL}.lease"
FORGOTTEN = timedelta(hours=1)  # since it ended, where its lease is gone, as after a reboot


def reap(client: docker.DockerClient, say: Callable[[str], None]) -> int:
    """Remove orphaned launches, and nothing else; returns how many. Those of a living orchestrator hold their lease."""
    count = 0
    for container in client.containers.list(all=True, filters={"label": f"{LABEL}=launch"}, ignore_removed=True):
        path = Path(container.labels.get(LEASE_LABEL) or "/nowhere")
        if lease.is_free(path) or (not path.exists() and _ended_long_ago(container)):
            with suppress(NotFound, APIError):  # another orchestrator does the same
                container.remove(force=True, v=True)
                count += 1
            with suppress(OSError):
                path.unlink(missing_ok=True)
    if count:
        say(f"removed {count} container(s) of a run that was killed")
    return count


def _ended_long_ago(container) -> bool:
    state = container.attrs["State"]
    if state.get("Running") or not state.get("FinishedAt") or state["FinishedAt"].startswith("0001"):
        return False
    ended = datetime.fromisoformat(state["FinishedAt"][:19]).replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc) - ended > FORGOTTEN
