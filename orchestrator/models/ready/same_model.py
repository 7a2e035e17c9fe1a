"""Is a ready-made checkpoint one of this model? As far as configuration, tensor table and vocabulary tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.models.formats import gguf
from orchestrator.models.formats.binary import UnreadableArtefact
from orchestrator.models.model import Model

SIZES = (
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "vocab_size",
)  # fmt: skip
OTHER_TOKENS = (
    0.01  # of the vocabulary: converters rewrite special tokens, another tokenizer gives nearly all other ids
)


def difference(place: Path, model: Model) -> str | None:
    """The first thing in which the checkpoint `place` (a GGUF file, or a directory) is not `model`, None without any.

    Equal sizes and vocabulary do not prove equal weights: a fine-tuned model passes, and its quality figures tell.
    Raises tensors.Unreadable.
    """
    is_gguf = place.is_file()
    found = _sizes_of_gguf(place) if is_gguf else _config(place)
    for name in SIZES:
        mine, other = model.config.get(name), found.get(name)
        if mine is not None and other is not None and mine != other:
            return f"it has {name} {other}, {model.name} has {mine}"
    return _other_tokens(_tokens(model.path), _tokens_of_gguf(place) if is_gguf else _tokens(place))


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _sizes_of_gguf(path: Path) -> dict[str, int]:
    """From the shapes of its matrices, [rows, row length], under the names of config.json."""
    shapes = {tensor.name: tensor.shape for tensor in gguf.tensors(path)}
    found = {"num_hidden_layers": len({name.split(".")[1] for name in shapes if name.startswith("blk.")})}
    if len(embedding := shapes.get("token_embd.weight", ())) == 2:
        found["vocab_size"], found["hidden_size"] = embedding
    if len(down := shapes.get("blk.0.ffn_down.weight", ())) == 2:
        found["intermediate_size"] = down[1]
    return found


def _tokens(folder: Path) -> dict[int, str]:
    """Id and text of the vocabulary of tokenizer.json; {} without one."""
    try:
        known = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        if isinstance(known, dict):
            return {number: text for text, number in known.items()}
        return {number: text for number, (text, *_) in enumerate(known)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _tokens_of_gguf(path: Path) -> dict[int, str]:
    try:
        found = gguf.metadata(path, ("tokenizer.ggml.tokens",))
    except UnreadableArtefact:  # a text that is no UTF-8: some vocabularies hold single bytes
        return {}
    return dict(enumerate(found.get("tokenizer.ggml.tokens", [])))


def _other_tokens(mine: dict[int, str], other: dict[int, str]) -> str | None:
    shared = mine.keys() & other.keys()
    differing = sorted(number for number in shared if mine[number] != other[number])
    if len(differing) <= OTHER_TOKENS * len(shared):
        return None
    first = differing[0]
    return (
        f"its tokenizer is another one: token {first} is {other[first]!r} there and {mine[first]!r} here "
        f"({len(differing)} of {len(shared)} differ)"
    )
