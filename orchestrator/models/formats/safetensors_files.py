"""The tensors of safetensors files: checkpoints, and the folders of AWQ, GPTQ, compressed-tensors and ExLlama.

Format: https://github.com/huggingface/safetensors#format. Packed integers are listed as the bytes they are stored in.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

from orchestrator.base.errors import UserError
from orchestrator.base.reading import is_count
from orchestrator.models.checkpoint import INDEX, read_header
from orchestrator.models.formats.binary import (
    LARGEST_JSON,
    LONGEST_NAME,
    MOST_DIMENSIONS,
    MOST_TENSORS,
    Tensor,
    UnreadableArtefact,
    opened,
    plain_file,
    read_json,
)

SOURCE = "safetensors headers"
WHOLE = "model.safetensors"
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F64": 64, "F32": 32,
    "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "C64": 64,
}  # fmt: skip


def present(directory: Path) -> bool:
    """Whether the directory has safetensors files."""
    return any(directory.glob("*.safetensors"))


def read(directory: Path) -> list[Tensor]:
    """The tensors of the files that are loaded: those in the index, else model.safetensors, else all.

    Raises UnreadableArtefact.
    """
    rows = [tensor for name in _files(directory) for tensor in tensors(plain_file(directory, name))]
    names = set()
    for tensor in rows:
        if tensor.name in names:
            raise UnreadableArtefact(tensor.file, f"stores {tensor.name!r}, and another file as well")
        names.add(tensor.name)
    return rows


def tensors(path: Path) -> list[Tensor]:
    """The tensors of one file, in the order of their data. Raises UnreadableArtefact."""
    with opened(path) as file:
        length = file.number("Q")
        if length > LARGEST_JSON:
            raise UnreadableArtefact(
                path, f"claims a header of {length} bytes; more than {LARGEST_JSON} are not believed"
            )
    try:
        header = read_header(path)
    except UserError as error:
        raise UnreadableArtefact(path, str(error).removeprefix(f"{path} ")) from None
    except (RecursionError, ValueError):  # nested too deeply, or a number too long to print
        raise UnreadableArtefact(path, "has an unreadable safetensors header") from None
    if len(header) > MOST_TENSORS:
        raise UnreadableArtefact(path, f"has {len(header)} tensors; more than {MOST_TENSORS} are not believed")
    rows = sorted((_row(path, name, entry) for name, entry in header.items()), key=lambda row: row[0])
    end = 0
    for begin, tensor in rows:
        if begin != end:
            raise UnreadableArtefact(path, f"places {tensor.name!r} at {begin}, where {end} is expected")
        end += tensor.nbytes
    return [tensor for _, tensor in rows]


def _files(directory: Path) -> list[str]:
    if (directory / INDEX).exists():
        path = plain_file(directory, INDEX)
        content = read_json(path)
        places = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
            raise UnreadableArtefact(path, "has no weight_map of file names")
        return sorted(set(places.values()))
    names = sorted(path.name for path in directory.glob("*.safetensors"))
    return [WHOLE] if WHOLE in names else names


def _row(path: Path, name: str, entry: dict) -> tuple[int, Tensor]:
    """(offset of the tensor's data, the tensor)."""
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry["data_offsets"]
    is_valid = len(name) <= LONGEST_NAME and isinstance(dtype, str)
    is_valid = is_valid and isinstance(shape, list) and len(shape) <= MOST_DIMENSIONS and all(map(is_count, shape))
    is_valid = is_valid and isinstance(offsets, list) and len(offsets) == 2 and all(map(is_count, offsets))
    if not is_valid or offsets[0] > offsets[1]:
        raise UnreadableArtefact(path, f"describes {name[:80]!r} in a way that cannot be")
    nbytes = offsets[1] - offsets[0]
    if dtype in BITS and nbytes != -(-prod(shape) * BITS[dtype] // 8):
        raise UnreadableArtefact(path, f"gives {name!r} {nbytes} bytes, which {shape} {dtype} are not")
    return offsets[0], Tensor(name, tuple(shape), dtype, nbytes, path.name)
