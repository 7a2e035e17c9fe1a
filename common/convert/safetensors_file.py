"""What the header of a safetensors file says, read without loading a tensor or a library."""

from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any


def read_header(path: Path) -> dict[str, Any]:
    """{tensor name: {"dtype", "shape", "data_offsets"}} of one file, without its metadata entry.

    Raises OSError, struct.error or ValueError where it is no safetensors file.
    """
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    header.pop("__metadata__", None)
    return header


def tensor_bytes(path: Path) -> int:
    """Bytes of all tensors of one file."""
    return sum(end - start for start, end in (entry["data_offsets"] for entry in read_header(path).values()))


def stored_dtype(checkpoint: Path) -> str:
    """The dtype of most tensors of a checkpoint as its headers name it (F32, F16, BF16), or F32 without any."""
    counts: Counter[str] = Counter()
    for shard in checkpoint.glob("*.safetensors"):
        counts.update(entry["dtype"] for entry in read_header(shard).values())
    return counts.most_common(1)[0][0] if counts else "F32"
