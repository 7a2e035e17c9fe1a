"""Sizes of a model: parameter counts, head sizes, bytes of the KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from orchestrator.models.checkpoint import read_header, weight_files

FLOAT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # per number
# Per number in a KV cache, including the shared scales of quantised blocks.
CACHE_BYTES = FLOAT_BYTES | {"fp8": 1, "int8": 1, "q8_0": 34 / 32, "q4_0": 18 / 32}


@dataclass(frozen=True)
class ParameterCounts:
    """Numbers of parameters. `linear` are the matrices inside the layers, `vectors` norms and biases."""

    parameters: int
    embedding: int
    head: int  # 0 if tied to the embedding
    linear: int
    vectors: int

    @classmethod
    def of(cls, checkpoint: Path) -> ParameterCounts:
        """Count the tensors of a checkpoint directory."""
        shapes: dict[str, list[int]] = {}
        for name in weight_files(checkpoint):
            if name.endswith(".safetensors"):
                shapes.update({tensor: entry["shape"] for tensor, entry in read_header(checkpoint / name).items()})
        counts = {"embedding": 0, "head": 0, "linear": 0, "vectors": 0}
        for tensor, shape in shapes.items():
            if len(shape) < 2:
                part = "vectors"
            elif "embed" in tensor or "wte" in tensor:
                part = "embedding"
            elif "lm_head" in tensor or tensor.startswith("output"):
                part = "head"
            else:
                part = "linear"
            counts[part] += prod(shape)
        return cls(sum(counts.values()), **counts)


def head_size(config: dict[str, Any]) -> int | None:
    """Width of one attention head; None if the config lacks a size."""
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    return config.get("head_dim") or (hidden // heads if heads and hidden else None)


def indivisible(config: dict, multiple: int, outputs: bool = False) -> str | None:
    """The first weight row length that `multiple` does not divide, as text ("hidden_size 896"), None if all fit.

    `outputs`: the numbers of rows instead, which include the width of keys and values.
    """
    heads, hidden, head = config.get("num_attention_heads"), config.get("hidden_size"), head_size(config)
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": config.get("intermediate_size"),
        "attention width": heads * head if heads and head else hidden,
    }
    if outputs and head:
        sizes["key and value width"] = (config.get("num_key_value_heads") or heads) * head
    return next((f"{name} {size}" for name, size in sizes.items() if size and size % multiple), None)


def bytes_per_token(config: dict[str, Any], dtype: str | None) -> float | None:
    """Bytes of keys and values of one token in all layers: 2 x layers x KV heads x head size x bytes of `dtype`.

    `dtype` as the engine reports it: "float16", or "float16, float32" for keys and values that differ; the smaller one
    counts. None if it is unknown or the config lacks a size.
    """
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    kv_heads = config.get("num_key_value_heads") or heads
    size = head_size(config)
    sizes = [CACHE_BYTES.get(part.strip()) for part in (dtype or "").split(",")]
    if not layers or not kv_heads or not size or None in sizes:
        return None
    return 2 * layers * kv_heads * size * min(sizes)


def needed(config: dict[str, Any], dtype: str | None, batch: int, prompt_tokens: int, new_tokens: int) -> float | None:
    """Bytes for the keys and values of every token but the last, which is never fed back."""
    token_bytes = bytes_per_token(config, dtype)
    return None if token_bytes is None else token_bytes * batch * (prompt_tokens + new_tokens - 1)


def read_per_step(
    config: dict[str, Any], dtype: str | None, batch: int, prompt_tokens: int, new_tokens: int
) -> float | None:
    """Bytes of KV cache read per decode step, at the mean depth of steps 2 to n: prompt + n / 2 tokens a row."""
    token_bytes = bytes_per_token(config, dtype)
    return None if token_bytes is None else token_bytes * batch * (prompt_tokens + new_tokens / 2)
