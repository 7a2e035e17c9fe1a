"""The KV cache that a workload needs, from the model's config: what an engine reserves beyond it is its own choice."""

from __future__ import annotations

from typing import Any

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "int8": 1, "q8_0": 34 / 32, "q4_0": 18 / 32}


def bytes_per_token(config: dict[str, Any], dtype: str | None) -> float | None:
    """Bytes of keys and values of one token in all layers: 2 x layers x KV heads x head size x bytes of `dtype`.

    None where the config lacks a size or the engine does not say its cache's dtype ("float16", or "float16, float32"
    for keys and values that differ, which counts the smaller).
    """
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    kv_heads = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or (config["hidden_size"] // heads if heads and config.get("hidden_size") else None)
    sizes = [DTYPE_BYTES.get(part.strip()) for part in (dtype or "").split(",")]
    if not layers or not kv_heads or not size or None in sizes:
        return None
    return 2 * layers * kv_heads * size * min(sizes)


def needed(config: dict[str, Any], dtype: str | None, batch: int, prompt_tokens: int, new_tokens: int) -> float | None:
    """Bytes that hold the keys and values of every token but the last, which is never fed back."""
    each = bytes_per_token(config, dtype)
    return None if each is None else each * batch * (prompt_tokens + new_tokens - 1)


def read_per_step(
    config: dict[str, Any], dtype: str | None, batch: int, prompt_tokens: int, new_tokens: int
) -> float | None:
    """Bytes of cache that a decode step reads, at the mean depth of steps 2 to n: prompt + n / 2 tokens a row."""
    each = bytes_per_token(config, dtype)
    return None if each is None else each * batch * (prompt_tokens + new_tokens / 2)
