"""The further package index that an engine's lock may need: PyTorch's own, for its builds for CPUs or for ROCm."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable

from orchestrator.base.errors import CellError
from orchestrator.machine.site import Site
from orchestrator.plan.engine import Engine

BUILD_OF_AN_INDEX = re.compile(r"(?m)^([A-Za-z][\w.-]*)==([^+\s#]+\+\S+)")  # torch==2.13.0+rocm7.2
ANSWERS_S = 5


def further_indexes(engine: Engine, kind: str, site: Site, say: Callable[[str], None]) -> str | None:
    """pip's setting PIP_EXTRA_INDEX_URL for an engine on a device kind: the engine's index, after the site's own.

    A wheelhouse stands in for the engine's index, and so does pip's default one if the index does not answer (asking it
    then would cost minutes of retries) - unless the lock pins a build that only this index has: that it does not answer
    is then a CellError("build_failed"). None where the engine names no index, or where it is not to be asked.
    """
    url = engine.devices[kind].extra_index_url
    lock = engine.software / "requirements" / f"{kind}.txt"
    needed = BUILD_OF_AN_INDEX.search(lock.read_text(encoding="utf-8")) if url and lock.is_file() else None
    if not url or (site.wheelhouse and not needed):
        return None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=ANSWERS_S):
            return f"{site.pip_extra_index_url} {url}" if site.pip_extra_index_url else url
    except OSError as error:
        if needed and not any(wheel.name.startswith(_wheel(needed)) for wheel in site.wheels()):
            why = f"the lock pins {needed[0]}, which is on the package index {url} only; it does not answer ({error})"
            raise CellError("build_failed", f"{why}; put the wheel into a wheelhouse and repeat") from error
        say(f"package index {url} is not reachable ({error}): pip takes its default index's builds")
        return None


def _wheel(pinned: re.Match[str]) -> str:
    """How the wheel's file name begins."""
    return f"{re.sub('[-_.]+', '_', pinned[1])}-{pinned[2]}-"
