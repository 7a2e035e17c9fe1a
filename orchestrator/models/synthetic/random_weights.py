"""Seeded random weights with identical bytes on every machine and with every numpy.

A generator's *distributions* may change between numpy releases (NEP 19) and depend on the machine's log and exp, its
raw bits do not. So every 16 bits of raw Philox output are looked up in a table of 65536 quantiles of the normal
distribution. This is also several times faster than drawing normals.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from ml_dtypes import bfloat16

STD = 0.02  # the initializer_range of the published configs
LEVELS = 2**16
PER_COUNTER = 16  # one step of Philox's counter gives four 64-bit words: sixteen weights
FORMATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # config.json: safetensors


def normal(tensor: str, seed: int, first: int, count: int, dtype: str) -> np.ndarray:
    """Weights `first` to `first + count` (in row-major order) of the tensor named `tensor`: shape [count].

    Normal with mean 0 and standard deviation 0.02, in `dtype` (bfloat16 as its bits in uint16). Every tensor has its
    own stream, so weights do not depend on the order of tensors or the size of shards and blocks. `first` is a multiple
    of 16.
    """
    if first % PER_COUNTER:
        raise ValueError(f"first must be a multiple of {PER_COUNTER}, not {first}")
    key = int.from_bytes(hashlib.sha256(f"{seed}:{tensor}".encode()).digest()[:16], "little")
    bits = np.random.Philox(key=key, counter=first // PER_COUNTER)
    raw = bits.random_raw(-(-count // 4)).astype("<u8", copy=False).view("<u2")[:count]
    return _quantiles(dtype)[raw]


def ones(count: int, dtype: str) -> np.ndarray:
    """`count` ones, shape [count], in `dtype` (bfloat16 as its bits in uint16)."""
    return _stored(np.ones(count, np.float32), dtype)


@lru_cache
def _quantiles(dtype: str) -> np.ndarray:
    # Rounded to 9 decimals, so that the last bit of log() does not matter. The table is symmetric.
    half = [round(NormalDist().inv_cdf((k + 0.5) / LEVELS), 9) * STD for k in range(LEVELS // 2)]
    return _stored(np.array(half + [-z for z in reversed(half)], np.float32), dtype)


def _stored(values: np.ndarray, dtype: str) -> np.ndarray:
    return values.astype(bfloat16).view(np.uint16) if dtype == "bfloat16" else values.astype(dtype)
