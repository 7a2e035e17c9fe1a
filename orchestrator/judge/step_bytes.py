"""Which of the stored bytes a decode step must read.

    read = total - tables of which a step takes a row - input embedding (unless it is the output head as well)

The role of a tensor follows from its name, as checkpoints and exporters give it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from orchestrator.models.formats import ctranslate2, gguf, onnx_graph, safetensors_files
from orchestrator.models.formats.binary import Tensor, UnreadableArtefact

SOURCES = {
    "gguf": gguf.SOURCE,
    "safetensors": safetensors_files.SOURCE,
    "onnx": onnx_graph.SOURCE,
    "bin": ctranslate2.SOURCE,
}

# A quantised matrix is stored in several tensors: qweight, scales, weight_packed, weight_zero_point, weight_Q4, ...
MATRIX = r"[./](MatMul[./])?(weight|qweight|qzeros|q_|scales|biases|g_idx|trellis|suh|svh)"
EMBEDDING = re.compile(
    r"(^|[./])(embed_tokens|wte|word_embeddings|vocab_embedding|embed_in|tok_embeddings|token_embd|embeddings(_\d+)?)"
    + MATRIX
)
HEAD = re.compile(
    r"((^|[./])(lm_head|embed_out|output_layer)|^(model\.)?output|^decoder/projection)"
    + MATRIX
    # The copy that ONNX Runtime makes of a tied matrix for its MatMul.
    + r"|embed_tokens\.weight_transposed"
)
# Tables of which a step takes a row: positions, rotary angles, and Gemma's embeddings per layer.
TABLE = re.compile(
    r"inv_freq|rope_freqs|rope_factors|(cos|sin)_cache"
    r"|(^|[./])(wpe|embed_positions|position_embd|position_embeddings|position_encodings)[./]"
    r"|(^|[./])(per_layer_token_embd|embed_tokens_per_layer)[./]"
)
CAUSAL_MASK = re.compile(r"\.(attn|attention)\.(masked_)?bias$")  # of old GPT checkpoints; no engine loads it


@dataclass(frozen=True)
class StepBytes:
    """Bytes of an artefact's weights; `read` of them a decode step must read.

    `embedding`: the input embedding with its scales and zero points, of which a step takes one row per sequence.
    `tied`: the same matrix is the output head, which is read whole.
    """

    total: int
    embedding: int
    read: int
    tied: bool
    source: str


def step_bytes(tensors: list[Tensor], config: dict[str, Any]) -> StepBytes:
    """The bytes of `tensors` that a decode step must read; `config` is the model's config.json.

    Tables are positions, rotary angles and text. All experts of a mixture count. Raises UnreadableArtefact if no
    tensor is recognised as the input embedding.
    """
    if not tensors:
        raise UnreadableArtefact("the artefact", "has no tensors")
    is_graph = tensors[0].file.endswith(".onnx")
    parts: dict[str, list[Tensor]] = {"table": [], "head": [], "embedding": [], "other": []}
    for tensor in tensors:
        parts[_part(tensor)].append(tensor)
    head, embedding = parts["head"], parts["embedding"]
    if is_graph and embedding and not head:
        head = _heads_by_shape(parts["other"], embedding, config)
    tied = not (embedding and head)
    if is_graph and not embedding:
        embedding = head  # ONNX Runtime GenAI stores a tied quantised matrix under the head's name alone
    if not embedding:
        raise UnreadableArtefact(tensors[0].file, "has no tensor that is known as the input embedding")
    total, matrix = _sum(tensors), _sum(embedding)
    read = total - _sum(parts["table"]) - (0 if tied else matrix)
    source = f"{SOURCES[tensors[0].file.rpartition('.')[2]]}, {len(tensors)} tensors"
    return StepBytes(total, matrix, read, tied, source)


def _part(tensor: Tensor) -> str:
    mask = len(tensor.shape) != 1 and CAUSAL_MASK.search(tensor.name)
    if mask or TABLE.search(tensor.name) or tensor.dtype == onnx_graph.STRING:
        return "table"
    if HEAD.search(tensor.name):
        return "head"
    return "embedding" if EMBEDDING.search(tensor.name) else "other"


def _heads_by_shape(tensors: list[Tensor], embedding: list[Tensor], config: dict[str, Any]) -> list[Tensor]:
    """Matrices with one row or column per token: exporters give a folded head an arbitrary name (onnx::MatMul_123)."""
    tokens = {config.get("vocab_size"), *(tensor.shape[0] for tensor in embedding if len(tensor.shape) > 1)}
    return [tensor for tensor in tensors if len(tensor.shape) > 1 and tokens & {tensor.shape[0], tensor.shape[-1]}]


def _sum(tensors: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
