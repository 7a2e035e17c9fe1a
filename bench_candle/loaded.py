"""Converts bench-candle's report of the loaded model to Loaded."""

from __future__ import annotations

import json
from pathlib import Path

from common.engine import Loaded
from common.tools.sizes import cached_tokens, kv_token_bytes

FLOATS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def read_back(facts: dict, job: dict) -> Loaded:
    """Loaded from the program's first answer: version, weights {dtype: [bytes, tensors]}, threads {pool: count}."""
    nbytes = {dtype: size for dtype, (size, _) in facts["weights"].items()}
    blocks = sorted(set(nbytes) - set(FLOATS))
    floats = [FLOATS[dtype] for dtype in sorted(set(nbytes) & set(FLOATS))]
    dtype = "float32" if blocks else "+".join(floats)  # activations and KV cache: of the weights' type, or float32
    # candle's cache is private, but has exactly the size that follows from the configuration.
    config = json.loads(Path(job.model.path, "config.json").read_text(encoding="utf-8"))
    token_bytes = kv_token_bytes(config, dtype)
    return Loaded(
        version=facts["version"],
        dtype=dtype,
        quantization="+".join(blocks) or None,
        weight_bytes=sum(nbytes.values()),
        threads=max(facts["threads"].values()) if job.device.kind == "cpu" else None,
        kv_dtype=dtype,
        kv_bytes=token_bytes * job.shape.batch_size * cached_tokens(job.shape),
        extra={
            "weights": facts["weights"],
            "thread_pools": facts["threads"],
            "attention": "plain matrix products",
        },
    )
