"""The shapes in shapes.yaml, as a config.json and as a list of tensors."""

from math import prod
from pathlib import Path

import yaml

from orchestrator.errors import UserError

FILE = Path(__file__).with_name("shapes.yaml")


def names() -> list[str]:
    """Names of the known shapes, in the order of the file: smallest family first."""
    return list(_load())


def config(shape: str) -> dict:
    """The config.json of `shape`, readable by transformers 4 (`torch_dtype`, `rope_theta`, `rope_scaling`) and by
    transformers 5 (`dtype`, `rope_parameters`). Raises KeyError for an unknown shape."""
    published = _load()[shape]["config"]
    rope = published.get("rope_scaling") or {"rope_type": "default"}
    return published | {
        "dtype": published["torch_dtype"],
        "rope_parameters": rope | {"rope_theta": published["rope_theta"]},
    }


def published_parameters(shape: str) -> int:
    """The number of parameters that the model is published with."""
    return _load()[shape]["parameters"]


def tensors(config: dict) -> dict[str, tuple[int, ...]]:
    """`{tensor name: shape}` of a checkpoint with this config.json, in the order in which it is written.

    A linear layer's weight is [outputs, inputs]. Raises UserError for an architecture other than llama, mistral, qwen2.
    """
    kind = config["model_type"]
    if kind not in ("llama", "mistral", "qwen2"):
        raise UserError(f"synthetic weights are made for llama, mistral and qwen2, not for model_type {kind!r}")
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    query, key = heads * head, config.get("num_key_value_heads", heads) * head
    attention = {"q": (query, hidden), "k": (key, hidden), "v": (key, hidden), "o": (hidden, query)}
    mlp = {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
    attention_biases = "qkv" if kind == "qwen2" else "qkvo" if config.get("attention_bias") else ""

    found = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        found[f"{prefix}.input_layernorm.weight"] = (hidden,)
        for letter, shape in attention.items():
            found[f"{prefix}.self_attn.{letter}_proj.weight"] = shape
            if letter in attention_biases:
                found[f"{prefix}.self_attn.{letter}_proj.bias"] = shape[:1]
        found[f"{prefix}.post_attention_layernorm.weight"] = (hidden,)
        for name, shape in mlp.items():
            found[f"{prefix}.mlp.{name}_proj.weight"] = shape
            if config.get("mlp_bias"):
                found[f"{prefix}.mlp.{name}_proj.bias"] = shape[:1]
    found["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (vocabulary, hidden)
    return found


def parameters(config: dict) -> int:
    """The number of parameters of a checkpoint with this config.json; tied embeddings count once."""
    return sum(prod(shape) for shape in tensors(config).values())


def _load() -> dict[str, dict]:
    return yaml.safe_load(FILE.read_text())
