"""Where things lie. The suite runs from its checkout; nothing is written outside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workspace:
    """The places that a command reads and writes, handed down to whatever needs one."""

    root: Path  # of the checkout
    cache: Path  # what can be made again: models, images' contexts, environments, artefacts, references
    results: Path  # where results directories without --out go
    site: Path  # this site's settings; the file need not exist

    @classmethod
    def of_checkout(cls) -> Workspace:
        """The workspace of this checkout; the variable BENCH_CACHE moves the cache."""
        cache = Path(os.environ.get("BENCH_CACHE", ROOT / ".cache"))
        return cls(root=ROOT, cache=cache, results=ROOT / "results", site=ROOT / "site.yaml")

    @property
    def locks(self) -> Path:
        """Of devices."""
        return self.cache / "locks"
