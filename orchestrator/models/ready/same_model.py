"""Whether a ready-made checkpoint is of a given model, by its configuration, tensor table and vocabulary."""

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
# Share of the vocabulary. Converters rewrite special tokens; with another tokenizer nearly all ids differ.
OTHER_TOKENS = 0.01


def difference(path: Path, model: Model) -> str | None:
    """The first difference between the checkpoint `path` (a GGUF file, or a directory) and `model`; None if none.

    Equal sizes and vocabulary do not prove equal weights: a fine-tuned model passes, but its quality figures show it.
    Raises UnreadableArtefact.
    """
    is_gguf = path.is_file()
    sizes = _sizes_of_gguf(path) if is_gguf else _config(path)
    for name in SIZES:
        expected, actual = model.config.get(name), sizes.get(name)
        if expected is not None and actual is not None and expected != actual:
            return f"it has {name} {actual}, {model.name} has {expected}"
    return _token_difference(_tokens(model.path), _tokens_of_gguf(path) if is_gguf else _tokens(path))


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _sizes_of_gguf(path: Path) -> dict[str, int]:
    """Sizes by their config.json names, from the matrices' shapes [rows, row length]."""
    shapes = {tensor.name: tensor.shape for tensor in gguf.tensors(path)}
    sizes = {"num_hidden_layers": len({name.split(".")[1] for name in shapes if name.startswith("blk.")})}
    if len(embedding := shapes.get("token_embd.weight", ())) == 2:
        sizes["vocab_size"], sizes["hidden_size"] = embedding
    if len(down := shapes.get("blk.0.ffn_down.weight", ())) == 2:
        sizes["intermediate_size"] = down[1]
    return sizes


def _tokens(folder: Path) -> dict[int, str]:
    """{id: text} of the vocabulary of tokenizer.json; {} without one."""
    try:
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        if isinstance(vocabulary, dict):
            return {number: text for text, number in vocabulary.items()}
        return {number: text for number, (text, *_) in enumerate(vocabulary)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _tokens_of_gguf(path: Path) -> dict[int, str]:
    try:
        values = gguf.metadata(path, ("tokenizer.ggml.tokens",))
    except UnreadableArtefact:  # not UTF-8: some vocabularies contain single bytes
        return {}
    return dict(enumerate(values.get("tokenizer.ggml.tokens", [])))


def _token_difference(expected: dict[int, str], actual: dict[int, str]) -> str | None:
    shared = expected.keys() & actual.keys()
    differences = sorted(number for number in shared if expected[number] != actual[number])
    if len(differences) <= OTHER_TOKENS * len(shared):
        return None
    first = differences[0]
    return (
        f"its tokenizer is another one: token {first} is {actual[first]!r} there and {expected[first]!r} here "
        f"({len(differences)} of {len(shared)} differ)"
    )
