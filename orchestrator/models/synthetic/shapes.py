"""The shapes in shapes.yaml and architectures.yaml, as a config.json and as a list of tensors."""

from math import prod
from pathlib import Path

import yaml

from orchestrator.base.errors import UserError
from orchestrator.models.dimensions import head_size

FILE = Path(__file__).with_name("shapes.yaml")
ARCHITECTURES = Path(__file__).with_name("architectures.yaml")
KINDS = ("llama", "mistral", "qwen2", "gemma", "phi3")


def names() -> list[str]:
    """Names of the published shapes, in the order of the file: smallest family first."""
    return list(_load(FILE))


def architectures() -> list[str]:
    """Names of the small shapes, one per architecture."""
    return list(_load(ARCHITECTURES))


def architecture_of(config: dict) -> str:
    """A config.json's name in architectures.yaml: its model_type, or llama3 for a llama with llama3's rope scaling."""
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    scaled = config.get("model_type") == "llama" and scaling.get("rope_type") == "llama3"
    return "llama3" if scaled else config.get("model_type", "")


# The fields that transformers requires by type of rope scaling.
SCALING = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


def incomplete(config: dict) -> str | None:
    """A sentence on what a config.json's rope scaling lacks, which every engine would fail on; None if nothing."""
    for key in ("rope_scaling", "rope_parameters"):
        scaling = config.get(key)
        if isinstance(scaling, dict) and scaling:
            kind = scaling.get("rope_type") or scaling.get("type")
            if kind is None and key == "rope_scaling":
                return f"config.json's {key} names no rope_type"
            lacking = [name for name in SCALING.get(kind, ()) if scaling.get(name) is None and config.get(name) is None]
            if lacking:
                return f"config.json's {key} is of type {kind} and lacks {', '.join(lacking)}"
    return None


def config(shape: str) -> dict:
    """The config.json of `shape`, with the fields of transformers 4 (`torch_dtype`, `rope_theta`, `rope_scaling`) and 5
    (`dtype`, `rope_parameters`). Raises KeyError for an unknown shape."""
    published = (_load(FILE) | _load(ARCHITECTURES))[shape]["config"]
    rope = published.get("rope_scaling") or {"rope_type": "default"}
    return published | {
        "dtype": published["torch_dtype"],
        "rope_parameters": rope | {"rope_theta": published["rope_theta"]},
    }


def published_parameters(shape: str) -> int:
    """The published number of parameters."""
    return _load(FILE)[shape]["parameters"]


def tensors(config: dict) -> dict[str, tuple[int, ...]]:
    """`{tensor name: shape}` of a checkpoint with this config.json, in file order.

    A linear layer's weight is [outputs, inputs]. Raises UserError for an architecture that is not in KINDS.
    """
    kind = config["model_type"]
    if kind not in KINDS:
        raise UserError(f"synthetic weights are made for {', '.join(KINDS)}, not for model_type {kind!r}")
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    head = head_size(config)
    query, key = heads * head, config.get("num_key_value_heads", heads) * head
    attention = {"q": (query, hidden), "k": (key, hidden), "v": (key, hidden), "o": (hidden, query)}
    mlp = {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
    if kind == "phi3":
        attention = {"qkv": (query + 2 * key, hidden), "o": attention["o"]}
        mlp = {"gate_up": (2 * inner, hidden), "down": mlp["down"]}
    attention_biases = ("q", "k", "v") if kind == "qwen2" else tuple(attention) if config.get("attention_bias") else ()

    shapes = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.input_layernorm.weight"] = (hidden,)
        for name, shape in attention.items():
            shapes[f"{prefix}.self_attn.{name}_proj.weight"] = shape
            if name in attention_biases:
                shapes[f"{prefix}.self_attn.{name}_proj.bias"] = shape[:1]
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (hidden,)
        for name, shape in mlp.items():
            shapes[f"{prefix}.mlp.{name}_proj.weight"] = shape
            if config.get("mlp_bias"):
                shapes[f"{prefix}.mlp.{name}_proj.bias"] = shape[:1]
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary, hidden)
    return shapes


def parameters(config: dict) -> int:
    """The number of parameters of a checkpoint with this config.json; tied embeddings count once."""
    return sum(prod(shape) for shape in tensors(config).values())


def _load(file: Path) -> dict[str, dict]:
    return yaml.safe_load(file.read_text())
