"""The initializers and constants of an ONNX graph, including external data.

Format: onnx/onnx.proto and ExternalData.md of https://github.com/onnx/onnx. External data is not opened; inline
data, at most 2 GiB, is read as part of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from orchestrator.models.formats.binary import (
    LONGEST_NAME,
    MOST_DIMENSIONS,
    MOST_TENSORS,
    Tensor,
    UnreadableArtefact,
    plain_file,
    read_json,
)

SOURCE = "ONNX initializers"
GENAI = "genai_config.json"
LARGEST = 2**31  # bytes; protobuf's limit
STRING = "string"
BITS = {
    "float": 32, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "int32": 32, "int64": 64, "bool": 8, "float16": 16,
    "double": 64, "uint32": 32, "uint64": 64, "complex64": 64, "complex128": 128, "bfloat16": 16, "float8e4m3fn": 8,
    "float8e4m3fnuz": 8, "float8e5m2": 8, "float8e5m2fnuz": 8, "float8e8m0": 8, "uint4": 4, "int4": 4, "float4e2m1": 4,
    "uint2": 2, "int2": 2,
}  # fmt: skip
NUMBERS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def present(directory: Path) -> bool:
    """Whether the directory has ONNX graphs."""
    return any(directory.glob("*.onnx"))


def read(directory: Path) -> list[Tensor]:
    """The tensors of the decoder: the graph in genai_config.json, else the only one. Raises UnreadableArtefact."""
    path = plain_file(directory, _graph_name(directory))
    if path.stat().st_size >= LARGEST:
        raise UnreadableArtefact(path, f"has {path.stat().st_size} bytes, more than a graph can have")
    try:
        import onnx  # noqa: PLC0415 - takes half a second, for this format only
        from google.protobuf.message import DecodeError  # noqa: PLC0415
    except ImportError as error:
        raise UnreadableArtefact(path, f"cannot be read: {error}") from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, RecursionError):
        raise UnreadableArtefact(path, "is no ONNX graph") from None
    rows = []
    try:
        for name, proto in _stored(model.graph, [node for function in model.functions for node in function.node]):
            rows.append(_row(path, name, proto, onnx.TensorProto))
            if len(rows) > MOST_TENSORS:
                raise UnreadableArtefact(path, f"has more than {MOST_TENSORS} tensors, which is not believed")
    except UnicodeDecodeError:
        raise UnreadableArtefact(path, "has a name that is no UTF-8") from None
    return rows


def _graph_name(directory: Path) -> str:
    if (directory / GENAI).exists():
        path = plain_file(directory, GENAI)
        try:
            name = read_json(path)["model"]["decoder"]["filename"]
        except (KeyError, TypeError, IndexError):
            name = None
        if not isinstance(name, str):
            raise UnreadableArtefact(path, "names no decoder file")
        return name
    names = sorted(path.name for path in directory.glob("*.onnx"))
    if len(names) > 1:
        raise UnreadableArtefact(names[0], f"is one of {len(names)} graphs here: which of them was loaded is not known")
    return names[0]


def _stored(graph: Any, more_nodes: Iterable[Any] = ()) -> Iterator[tuple[str, Any]]:
    """(name, TensorProto) of everything stored in a graph, its branches, and `more_nodes`."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, sparse.values
        yield f"{sparse.values.name}_indices", sparse.indices
    for node in [*graph.node, *more_nodes]:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield node.output[0] if node.output else node.name, attribute.t
            for branch in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _stored(branch)  # protobuf limits the depth to 100 levels


def _row(path: Path, name: str, proto: Any, types: Any) -> Tensor:
    if len(name) > LONGEST_NAME or len(proto.dims) > MOST_DIMENSIONS or any(size < 0 for size in proto.dims):
        raise UnreadableArtefact(path, f"describes {name[:80]!r} in a way that cannot be")
    shape = tuple(proto.dims)
    dtype = types.DataType.Name(proto.data_type).lower() if proto.data_type in types.DataType.values() else None
    if dtype == STRING:
        return Tensor(name, shape, dtype, sum(map(len, proto.string_data)), path.name)
    if dtype not in BITS:
        raise UnreadableArtefact(path, f"stores {name!r} in the unknown type {proto.data_type}")
    nbytes = -(-prod(shape) * BITS[dtype] // 8)
    if proto.data_location == types.EXTERNAL:
        _check_external(path, name, proto, nbytes)
    elif proto.HasField("raw_data"):
        if len(proto.raw_data) != nbytes:
            raise UnreadableArtefact(
                path, f"gives {name!r} {len(proto.raw_data)} bytes, which {list(shape)} {dtype} are not"
            )
    else:
        stored = sum(len(getattr(proto, field)) for field in NUMBERS)
        # Types below 8 bits are packed, one byte per number; a complex value is two numbers.
        expected = nbytes if BITS[dtype] < 8 else prod(shape) * (2 if dtype.startswith("complex") else 1)
        if stored != expected:
            raise UnreadableArtefact(path, f"gives {name!r} {stored} numbers, where {expected} are expected")
    return Tensor(name, shape, dtype, nbytes, path.name)


def _check_external(path: Path, name: str, proto: Any, nbytes: int) -> None:
    """Raises UnreadableArtefact unless the external file contains the tensor."""
    facts = {entry.key: entry.value for entry in proto.external_data}
    data = plain_file(path.parent, facts.get("location", ""))
    try:
        offset, length = int(facts.get("offset", 0)), int(facts.get("length", nbytes))
    except ValueError:
        raise UnreadableArtefact(path, f"describes the place of {name!r} in a way that cannot be") from None
    size = data.stat().st_size
    if length != nbytes:
        raise UnreadableArtefact(path, f"gives {name!r} {length} bytes, but its shape and type are {nbytes}")
    if offset < 0 or offset + length > size:
        raise UnreadableArtefact(data, f"is truncated: {size} bytes, but {name!r} ends at {offset + length}")
