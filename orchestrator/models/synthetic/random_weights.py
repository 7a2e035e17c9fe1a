"""Seeded random weights that are the same bytes on every machine and with every numpy.

A generator's *distributions* may change from one numpy to the next (NEP 19) and depend on the machine's log and exp;
its raw bits may not. So every weight is one 16-bit piece of raw Philox output, looked up in a table of 65536 quantiles
of the normal distribution. This is also several times faster than drawing normals.
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
FORMATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # as config.json and as safetensors name them


def normal(tensor: str, seed: int, first: int, count: int, dtype: str) -> np.ndarray:
    """Weights `first` to `first + count` (in row-major order) of the tensor named `tensor`: shape [count].

    Normal with mean 0 and standard deviation 0.02, in `dtype` (bfloat16 as its bits in uint16). Each tensor has a
    stream of its own, so neither the order of tensors nor the size of shards or blocks changes any weight.
    `first` is a multiple of 16.
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
    # Rounded to 9 decimals, so that the last bit of a machine's log() does not matter. The table is symmetric.
    half = [round(NormalDist().inv_cdf((k + 0.5) / LEVELS), 9) * STD for k in range(LEVELS // 2)]
    return _stored(np.array(half + [-z for z in reversed(half)], np.float32), dtype)


def _stored(values: np.ndarray, dtype: str) -> np.ndarray:
    return values.astype(bfloat16).view(np.uint16) if dtype == "bfloat16" else values.astype(dtype)
