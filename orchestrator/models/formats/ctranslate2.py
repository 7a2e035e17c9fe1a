"""The variables of a CTranslate2 model.bin.

Layout: ModelSpec._serialize in python/ctranslate2/specs/model_spec.py and Model::load in src/models/model.cc,
https://github.com/OpenNMT/CTranslate2. Sizes are those in the file: CTranslate2 converts the weights while loading if
`compute_type` differs from the stored type.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

from orchestrator.models.formats.binary import (
    MOST_DIMENSIONS,
    MOST_TENSORS,
    Binary,
    Tensor,
    UnreadableArtefact,
    opened,
    plain_file,
)

SOURCE = "CTranslate2 variables"
NAME = "model.bin"
VERSIONS = (4, 5, 6)  # earlier ones store an item size instead of the dtype
DTYPES = (("float32", 4), ("int8", 1), ("int16", 2), ("int32", 4), ("float16", 2), ("bfloat16", 2))


def present(directory: Path) -> bool:
    """Whether the directory has a model.bin."""
    return (directory / NAME).exists()


def read(directory: Path) -> list[Tensor]:
    """The variables of model.bin, without aliases, which share another variable's bytes. Raises UnreadableArtefact."""
    path = plain_file(directory, NAME)
    with opened(path) as file:
        version = file.number("I")
        if version not in VERSIONS:
            raise UnreadableArtefact(path, f"is no CTranslate2 model of a known version (it says {version})")
        _string(file)  # the specification's name
        file.number("I")  # its revision
        rows = [_row(file) for _ in range(file.count("I", MOST_TENSORS, "variables"))]
        for _ in range(file.count("I", MOST_TENSORS, "aliases")):
            _string(file), _string(file)
        if file.left:
            raise UnreadableArtefact(path, f"is too long: {file.left} bytes follow the last alias")
    if len({tensor.name for tensor in rows}) != len(rows):
        raise UnreadableArtefact(path, "names a variable twice")
    return rows


def _row(file: Binary) -> Tensor:
    name = _string(file)
    shape = tuple(file.number("I") for _ in range(file.count("B", MOST_DIMENSIONS, f"dimensions of {name!r}")))
    kind, nbytes = file.number("B"), file.number("I")
    if kind >= len(DTYPES):
        raise UnreadableArtefact(file.path, f"stores {name!r} in the unknown type {kind}")
    dtype, width = DTYPES[kind]
    if nbytes != prod(shape) * width:
        raise UnreadableArtefact(file.path, f"gives {name!r} {nbytes} bytes, which {list(shape)} {dtype} are not")
    file.skip(nbytes)
    return Tensor(name, shape, dtype, nbytes, file.path.name)


def _string(file: Binary) -> str:
    """A string: its length including the final zero byte, then the bytes."""
    text = file.text(file.number("H"))
    if not text.endswith("\0"):
        raise UnreadableArtefact(file.path, f"has a name without its end before byte {file.at}")
    return text[:-1]
