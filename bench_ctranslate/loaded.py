"""Reads back CTranslate2's compute type, and the variables of the model.bin that it loaded."""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from math import prod
from pathlib import Path

import ctranslate2

from common.engine import Loaded
from common.tools.sizes import DTYPE_BYTES

PACKAGES = Path(ctranslate2.__file__).parent.parent
DTYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # by their number in the file
VERSION = 6  # of model.bin


def read_back(generator: ctranslate2.Generator, artefact: str, threads: int | None) -> Loaded:
    """Loaded of a Generator. Raises ValueError if the engine converted the weights while loading."""
    nbytes, compute_type = stored_bytes(Path(artefact, "model.bin")), generator.compute_type
    [(weights, _)] = nbytes.most_common(1)
    if not compute_type.startswith(weights):  # the weights in memory would differ from the file
        raise ValueError(f"stored as {weights}, but computed in {compute_type}")
    dtype = generator.forward_batch([[0]]).dtype.name  # of the logits, as of activations and KV cache
    return Loaded(
        version=ctranslate2.__version__,
        dtype=dtype,
        quantization="int8" if "int8" in compute_type else None,
        weight_bytes=sum(nbytes.values()),
        threads=threads,
        kv_dtype=dtype,
        extra={"compute_type": compute_type, "weight_bytes_by_dtype": dict(nbytes)},
    )


def omp_threads() -> int | None:
    """OpenMP's thread count for the calling thread, None if the package has no OpenMP library."""
    libraries = sorted(PACKAGES.glob("ctranslate2.libs/libgomp*"))
    return ctypes.CDLL(str(libraries[0])).omp_get_max_threads() if libraries else None


def stored_bytes(path: Path) -> Counter[str]:
    """Bytes of the variables of a model.bin by dtype (ModelSpec._serialize in ctranslate2/specs)."""
    nbytes = Counter()
    with path.open("rb") as file:

        def take(code):
            return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]

        version = take("I")
        if version != VERSION:
            raise ValueError(f"model.bin is of version {version}, not {VERSION}")
        file.seek(take("H") + 4, 1)  # specification's name and revision
        for _ in range(take("I")):
            file.seek(take("H"), 1)  # name
            shape = [take("I") for _ in range(take("B"))]
            dtype = DTYPES[take("B")]
            nbytes[dtype] += (size := take("I"))
            if size != prod(shape) * DTYPE_BYTES[dtype]:
                raise ValueError(f"model.bin: {size} bytes for {shape} {dtype}")
            file.seek(size, 1)
    return nbytes
