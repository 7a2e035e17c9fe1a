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


def indivisible(config: dict, multiple: int) -> str | None:
    """The first weight row length that `multiple` does not divide, as text ("hidden_size 896"), None if all fit."""
    heads = config.get("num_attention_heads")
    width = heads * config["head_dim"] if heads and config.get("head_dim") else config.get("hidden_size")
    rows = {
        "hidden_size": config.get("hidden_size"),
        "intermediate_size": config.get("intermediate_size"),
        "attention width": width,
    }
    return next((f"{name} {size}" for name, size in rows.items() if size and size % multiple), None)
