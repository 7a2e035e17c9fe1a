"""Bytes of numbers, and of the keys and values that a model caches."""

from __future__ import annotations

from typing import Any

from common.contract import Shape

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int32": 4, "int16": 2, "int8": 1}


def kv_token_bytes(config: dict[str, Any], dtype: str) -> int:
    """Bytes of one token's keys and values in all layers: 2 x layers x KV heads x head size x bytes of `dtype`.

    `config` has the keys of a Hugging Face config.json, or TensorRT-LLM's `head_size` for `head_dim`.
    """
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_size = config.get("head_dim") or config.get("head_size") or config["hidden_size"] // heads
    return 2 * config["num_hidden_layers"] * kv_heads * head_size * DTYPE_BYTES[dtype]


def cached_tokens(shape: Shape) -> int:
    """Tokens that one sequence's KV cache holds at the end of a job's shape: the last token is never fed back."""
    return shape.prompt_tokens + shape.new_tokens - 1
