"""Small checkpoints and GGUF files, written without a model behind them."""

import json
import struct
from itertools import accumulate
from math import prod
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from orchestrator.models.dimensions import ParameterCounts
from orchestrator.models.formats import gguf
from orchestrator.models.model import Model

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "intermediate_size": 16,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 64,
}  # fmt: skip
WEIGHTS = ParameterCounts(parameters=1000, embedding=100, head=100, linear=780, vectors=20)
TIED = ParameterCounts(parameters=900, embedding=100, head=0, linear=780, vectors=20)


def checkpoint(folder: Path, config: dict | None = None, tokenizer: bool = False) -> Path:
    """A small Llama-like checkpoint directory."""
    folder.mkdir(parents=True)
    config = {**CONFIG, **(config or {})}
    (folder / "config.json").write_text(json.dumps(config))
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    tensors = {
        "model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,),
        "model.layers.0.mlp.up_proj.weight": (inner, hidden), "lm_head.weight": (vocabulary, hidden),
    }  # fmt: skip
    save_file({name: np.ones(shape, np.float32) for name, shape in tensors.items()}, folder / "model.safetensors")
    if tokenizer:
        # One token a character: prompts then are as alike as prompts can be.
        characters = [*map(chr, range(32, 127)), "\n"]
        tokens = Tokenizer(models.WordLevel({character: i for i, character in enumerate(characters)}, unk_token=" "))
        tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        tokens.save(str(folder / "tokenizer.json"))
    return folder


def gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf_folder(path: Path, table: list[tuple], metadata=(), alignment=32, version=3, counts=None, data=True) -> Path:
    """The folder of a GGUF file of `table`'s (name, shape with the row last, type)."""
    lengths = []
    for _, shape, kind in table:
        _, block, size = gguf.TYPES[kind]
        lengths.append(prod(shape) // block * size)
    padded = [-(-length // alignment) * alignment for length in lengths]
    offsets = [0, *accumulate(padded)]
    raw = b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(table), len(metadata)))) + b"".join(metadata)
    for (name, shape, kind), offset in zip(table, offsets, strict=False):
        raw += (
            gguf_text(name)
            + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
            + struct.pack("<IQ", kind, offset)
        )
    raw += bytes(-len(raw) % alignment)
    path.write_bytes(raw + (bytes(offsets[-1]) if data else b""))
    return path.parent


def model(path: Path, **changes) -> Model:
    """The model at `path`, unverified."""
    config = json.loads((path / "config.json").read_text())
    return Model(**{"name": path.name, "path": path, "digest": "d" * 64, "manifest": {}, "synthetic": False,
                    "config": config, **changes})  # fmt: skip
