"""GPTQModel's kernels, compiled by build.sh."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

COMPILED = Path(sys.prefix, "share", "gptqmodel")


def load_extensions() -> list[str]:
    """Register the compiled kernels; returns their names.

    GPTQModel's own loader opens a lock file beside them for writing, which a read-only root does not allow, and names
    their folder after the GPUs it sees, none while the image is built. It uses kernels that are already registered.
    """
    libraries = sorted(COMPILED.rglob("*.so"))
    for library in libraries:
        torch.ops.load_library(str(library))
    return [library.stem for library in libraries]
