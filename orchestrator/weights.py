"""What a checkpoint holds, counted from its safetensors headers: parameters, and which of them a quantiser leaves."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from orchestrator.models.checkpoint import read_header, weight_files


@dataclass(frozen=True)
class Weights:
    """Numbers of parameters. `linear` are the matrices inside the layers, `vectors` norms and biases."""

    parameters: int
    embedding: int
    head: int  # 0 where the head is tied to the embedding
    linear: int
    vectors: int

    @classmethod
    def of(cls, checkpoint: Path) -> Weights:
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


def indivisible(config: dict, multiple: int, outputs: bool = False) -> str | None:
    """The first weight row length that `multiple` does not divide, as text ("hidden_size 896"), None if all fit.

    `outputs`: the numbers of rows instead. Those of keys and values are fewer where heads share them.
    """
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    head = config.get("head_dim") or (hidden // heads if heads and hidden else None)
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": config.get("intermediate_size"),
        "attention width": heads * head if heads and head else hidden,
    }
    if outputs and head:
        sizes["key and value width"] = (config.get("num_key_value_heads") or heads) * head
    return next((f"{name} {size}" for name, size in sizes.items() if size and size % multiple), None)
