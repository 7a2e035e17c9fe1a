"""The tensor table of GGUF files. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

The PyPI package `gguf` is not used: it trusts the lengths in the file, and keeps every token and merge of the
vocabulary as an array.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

from orchestrator.models.formats.binary import MOST_TENSORS, Binary, Tensor, UnreadableArtefact, opened, plain_file

SOURCE = "GGUF tensor table"
VERSIONS = (2, 3)
DIMENSIONS = 4  # GGML_MAX_DIMS
MOST_METADATA = 65_536
MOST_ITEMS = 4_000_000  # in all string arrays together; the largest vocabularies with their merges have 0.8 million
LARGEST_ALIGNMENT = 65_536
SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")

UINT32, STRING, ARRAY = 4, 8, 9
SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # metadata type: bytes

# Number: (name, weights of a block, bytes of a block). From enum ggml_type of ggml.h and GGML_QUANT_SIZES of gguf-py;
# Q8_1 from ggml-common.h, since gguf-py has 40 bytes for it.
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip


def present(directory: Path) -> bool:
    """Whether the directory has GGUF files."""
    return any(directory.glob("*.gguf"))


def read(directory: Path) -> list[Tensor]:
    """The tensors of the only GGUF model in `directory`, which may be split into files. Raises UnreadableArtefact."""
    names = sorted(path.name for path in directory.glob("*.gguf"))
    parts = [SPLIT.fullmatch(name) for name in names]
    if all(parts) and len({(part["stem"], part["count"]) for part in parts}) == 1:
        count = int(parts[0]["count"])
        if [int(part["number"]) for part in parts] != list(range(1, count + 1)):
            raise UnreadableArtefact(names[0], f"is one of {count} parts, of which {len(names)} are here")
    elif len(names) > 1:
        raise UnreadableArtefact(names[0], f"is one of {len(names)} models here: which of them was loaded is not known")
    return [tensor for name in names for tensor in tensors(plain_file(directory, name))]


def tensors(path: Path) -> list[Tensor]:
    """The tensor table of one file. Raises UnreadableArtefact."""
    with opened(path) as file:
        count, values = _head(file, ("general.alignment",))
        alignment = values.get("general.alignment", 32)
        if not 0 < alignment <= LARGEST_ALIGNMENT or alignment & (alignment - 1):
            raise UnreadableArtefact(path, f"wants its tensors aligned to {alignment} bytes")
        rows = [_row(file) for _ in range(count)]
        start = _padded(file.at, alignment)
        # llama.cpp also refuses gaps and overlaps: gguf_init_from_file_impl in ggml/src/gguf.cpp.
        expected = end = 0
        for tensor, offset in rows:
            if offset != expected:
                raise UnreadableArtefact(path, f"places {tensor.name!r} at {offset}, where {expected} is expected")
            end = offset + tensor.nbytes
            expected = _padded(end, alignment)
        if rows and start + end > file.size:
            raise UnreadableArtefact(path, f"is truncated: {file.size} bytes, its table describes {start + end}")
    if len({tensor.name for tensor, _ in rows}) != len(rows):
        raise UnreadableArtefact(path, "names a tensor twice")
    return [tensor for tensor, _ in rows]


def metadata(path: Path, wanted: tuple[str, ...]) -> dict[str, int | list[str]]:
    """The values of the keys in `wanted` that exist: integers and lists of strings. Raises UnreadableArtefact."""
    with opened(path) as file:
        return _head(file, wanted)[1]


def _head(file: Binary, wanted: tuple[str, ...]) -> tuple[int, dict[str, int | list[str]]]:
    """The number of tensors, and the metadata values of the keys in `wanted`."""
    if file.take(4) != b"GGUF":
        raise UnreadableArtefact(file.path, "is no GGUF file")
    version = file.number("I")
    if version not in VERSIONS:
        raise UnreadableArtefact(file.path, f"has the GGUF version {version}; 2 and 3 are known")
    count = file.count("Q", MOST_TENSORS, "tensors")
    values: dict[str, int | list[str]] = {}
    items = 0
    for _ in range(file.count("Q", MOST_METADATA, "metadata entries")):
        key, kind = file.text(file.number("Q")), file.number("I")
        if key in wanted and kind == UINT32:
            values[key] = file.number("I")
        elif kind == ARRAY:
            kind, length = file.number("I"), file.number("Q")
            items += length if kind == STRING else 0
            if items > MOST_ITEMS:
                raise UnreadableArtefact(
                    file.path, f"claims {items} strings of metadata; more than {MOST_ITEMS} are not believed"
                )
            if key in wanted and kind == STRING:
                values[key] = [file.text(file.number("Q")) for _ in range(length)]
            else:
                _skip(file, kind, length)
        else:
            _skip(file, kind, 1)
    return count, values


def _skip(file: Binary, kind: int, times: int) -> None:
    if kind == STRING:
        for _ in range(times):
            file.skip(file.number("Q"))
    elif kind in SCALARS:
        file.skip(times * SCALARS[kind])
    else:
        raise UnreadableArtefact(file.path, f"has metadata of the unknown type {kind} before byte {file.at}")


def _row(file: Binary) -> tuple[Tensor, int]:
    """One tensor and the offset of its data in bytes, relative to the first tensor's."""
    name = file.text(file.number("Q"))
    shape = tuple(file.number("Q") for _ in range(file.count("I", DIMENSIONS, f"dimensions of {name!r}")))
    kind, offset = file.number("I"), file.number("Q")
    if kind not in TYPES:
        raise UnreadableArtefact(file.path, f"stores {name!r} in the unknown type {kind}")
    dtype, weights, size = TYPES[kind]
    row = shape[0] if shape else 1
    if row % weights:
        raise UnreadableArtefact(file.path, f"stores {name!r} as {dtype}, whose blocks do not divide its rows of {row}")
    # GGUF stores the row length first.
    return Tensor(name, shape[::-1], dtype, prod(shape) // weights * size, file.path.name), offset


def _padded(length: int, alignment: int) -> int:
    return -(-length // alignment) * alignment
