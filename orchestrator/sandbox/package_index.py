"""The extra package index that an engine's lock may need: PyTorch's, for its CPU or ROCm builds."""

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
    """PIP_EXTRA_INDEX_URL for an engine on a device kind: the site's extra index, then the engine's. None: no index.

    The engine's index is left out if there is a wheelhouse, or if it does not answer (pip would retry for minutes). A
    lock may pin a build that only this index has: if neither the index nor the wheelhouse can deliver it, raises
    CellError("build_failed").
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
    """The beginning of the wheel's file name."""
    return f"{re.sub('[-_.]+', '_', pinned[1])}-{pinned[2]}-"
