"""GPTQModel's kernels, compiled by build.sh."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

COMPILED = Path(sys.prefix, "share", "gptqmodel")


def load_extensions() -> list[str]:
    """Register the compiled kernels; returns their names.

    GPTQModel's own loader fails here: it writes a lock file beside them, on a read-only root, and names their folder
    after the visible GPUs, of which there are none during the build. It uses kernels that are already registered.
    """
    libraries = sorted(COMPILED.rglob("*.so"))
    for library in libraries:
        torch.ops.load_library(str(library))
    return [library.stem for library in libraries]
