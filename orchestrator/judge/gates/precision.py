"""Gate `precision`: the dtype and bytes that the engine really loaded are those of its label.

    fails if  the dtype or scheme is another one
    or        weight_bytes < (1 - ROUNDING) * low  or  weight_bytes > (1 + ROUNDING) * high

    float column b bytes wide:  low  = b * parameters
                                high = low + b * embedding (if tied) + 4 * vectors
    quantised column:           low  = smallest * parameters
                                high = largest * linear + 4 * (embedding (twice if tied) + head + vectors)

`smallest` and `largest` are bytes a weight (QUANTISED); parameters, embedding, head, linear and vectors are numbers of
weights of the model (models.dimensions.ParameterCounts).
"""

from __future__ import annotations

import re

from common.contract import Loaded
from orchestrator.models.dimensions import FLOAT_BYTES, ParameterCounts

# Bytes per weight of a quantised matrix with its scales: from plain 8 or 4 bits to a group of 32 with 32-bit scale and
# zero point. q4_k_m mixes 4- and 6-bit blocks (0.61); it lies inside. float8 takes a scale per row or tensor.
QUANTISED = {"float8": (0.99, 1.30), "int8": (0.99, 1.30), "int4": (0.49, 0.78)}
# float8 takes as many bytes as int8: only the scheme's name tells them apart.
FLOAT8 = re.compile("fp8|float8|e4m3|e5m2", re.IGNORECASE)
ROUNDING = 0.02  # padding and alignment of the engines' own formats


def precision_proof(precision: str, loaded: Loaded, weights: ParameterCounts) -> str:
    """The gate for the column `precision`, given what the engine reports as `loaded` and the model's `weights`.

    A float column must hold that dtype, unquantised, at its bytes per parameter. A quantised one must name its scheme
    (with fp8, float8, e4m3 or e5m2 in it for float8, and for no other column), and its bytes must lie between
    quantising everything and quantising only the matrices inside the layers (the usual quantisers leave embedding and
    head at up to 32 bits).
    """
    actual, quantization, dtype = loaded.weight_bytes, loaded.quantization, loaded.dtype
    if precision in FLOAT_BYTES:
        if quantization is not None:
            return f"fail: labelled {precision}, but the engine loaded {quantization} weights"
        if dtype != precision:
            return f"fail: labelled {precision}, but the engine loaded {dtype} weights"
        low: float = FLOAT_BYTES[precision] * weights.parameters
        # A tied embedding may be held twice, and norms are often kept in float32.
        high: float = (
            low + FLOAT_BYTES[precision] * (weights.embedding if not weights.head else 0) + 4 * weights.vectors
        )
    else:
        if quantization is None:
            return f"fail: labelled {precision}, but the engine loaded unquantised {dtype} weights"
        if bool(FLOAT8.search(quantization)) is not (precision == "float8"):
            return f"fail: labelled {precision}, but the engine loaded {quantization} weights"
        smallest, largest = QUANTISED[precision]
        low = smallest * weights.parameters
        copies = 2 if not weights.head else 1
        high = largest * weights.linear + 4 * (copies * weights.embedding + weights.head) + 4 * weights.vectors
    if not low * (1 - ROUNDING) <= actual <= high * (1 + ROUNDING):
        return (
            f"fail: labelled {precision}: {weights.parameters} parameters should take {low / 2**20:.1f} to "
            f"{high / 2**20:.1f} MiB, but the engine loaded {actual / 2**20:.1f} MiB"
        )
    return "pass"
