"""Reads back a loaded ONNX graph: initializers by type, matrices, attention operators, KV cache."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path

import onnx
import onnxruntime
import onnxruntime_genai as og

from common.engine import Loaded

FLOATS = {"float": "float32", "float16": "float16", "bfloat16": "bfloat16"}
ROTARY = ("cos_cache", "sin_cache")  # not weights: half a megabyte for a small model, by its longest context
FOLDED = ("Transpose", "Reshape")  # of a stored tied matrix: the session computes the result once and keeps both


def read_back(
    model: og.Model, artefact: str, generator: og.Generator, shape: dict[str, int], threads: int | None
) -> Loaded:
    """Loaded of a model; `generator` has read one token per row of the batch, so its KV cache exists."""
    decoder = json.loads(Path(artefact, "genai_config.json").read_text(encoding="utf-8"))["model"]["decoder"]
    graph = onnx.load(str(Path(artefact, decoder["filename"])), load_external_data=False).graph
    nbytes, duplicates = weight_bytes(graph)
    matrices = Counter(describe(node) for node in graph.node if "MatMul" in node.op_type)
    outputs = [decoder["outputs"][f"present_{part}_names"] for part in ("key", "value")]
    layers = range(decoder["num_hidden_layers"])
    # caches: [batch, heads, tokens, size] each
    caches = [generator.get_output(name % layer) for layer in layers for name in outputs]
    tokens = shape.prompt_tokens + shape.new_tokens  # what `generate` reserves
    return Loaded(
        version=f"{og.__version__} (onnxruntime {onnxruntime.__version__})",
        dtype=max((size, FLOATS[dtype]) for dtype, size in nbytes.items() if dtype in FLOATS)[1],
        quantization="; ".join(sorted(name for name in matrices if "bits" in name)) or None,
        weight_bytes=nbytes.total(),
        threads=threads,
        kv_dtype=str(caches[0].dtype),
        kv_bytes=sum(cache.nbytes // cache.shape[2] for cache in caches) * tokens,
        extra={
            "device": model.device_type,
            "matrices": dict(matrices),
            "attention": dict(Counter(node.op_type for node in graph.node if "Attention" in node.op_type)),
            "weight_bytes_by_type": dict(nbytes),
            "held_twice": duplicates,
        },
    )


def weight_bytes(graph: onnx.GraphProto) -> tuple[Counter[str], list[str]]:
    """(bytes by type of all weights in the session, names of those that it holds twice)."""
    stored = {}
    for tensor in graph.initializer:
        if tensor.name not in ROTARY:
            size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            dtype = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
            stored[tensor.name] = dtype, prod(tensor.dims) * size
    duplicates = [node.input[0] for node in graph.node if node.op_type in FOLDED and node.input[0] in stored]
    nbytes = Counter()
    for dtype, size in [*stored.values(), *(stored[name] for name in duplicates)]:
        nbytes[dtype] += size
    return nbytes, duplicates


def describe(node: onnx.NodeProto) -> str:
    """MatMul, or MatMulNBits with its format."""
    values = {attribute.name: attribute.i for attribute in node.attribute}
    if "bits" not in values:
        return node.op_type
    level = values.get("accuracy_level", 0)
    return f"{node.op_type}, {values['bits']} bits, blocks of {values['block_size']}, accuracy level {level}"
