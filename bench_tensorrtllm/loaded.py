"""Reads back an engine from its files: the executor does not report its weights."""

from __future__ import annotations

import json
from pathlib import Path

import tensorrt
import tensorrt_llm
import torch

from common.convert.safetensors_file import tensor_bytes
from common.engine import Loaded
from common.tools.sizes import cached_tokens, kv_token_bytes


def check_built_here(artefact: Path) -> None:
    """Raises RuntimeError if convert.py built the engine on another GPU or with another TensorRT."""
    built = read_json(artefact, "built_for.json")
    current = {"gpu": torch.cuda.get_device_name(), "tensorrt": tensorrt.__version__}
    if built != current:
        raise RuntimeError(f"this engine was built for {built}, and this is {current}: delete the artefact")


def read_back(artefact: Path, shape: dict[str, int]) -> Loaded:
    """Loaded of the measured engine. Raises RuntimeError if its plan is too small for the weights."""
    config = read_json(artefact, "engine/config.json")
    model = config["pretrained_config"]
    weight_bytes = tensor_bytes(artefact / "rank0.safetensors")
    plan_bytes = (artefact / "engine" / "rank0.engine").stat().st_size
    if plan_bytes < 0.98 * weight_bytes:
        raise RuntimeError(f"the engine's {plan_bytes} bytes cannot hold the checkpoint's {weight_bytes}")
    quantization, dtype = model["quantization"], model["dtype"]
    return Loaded(
        version=tensorrt_llm.__version__,
        dtype=dtype,
        quantization=quantization["quant_algo"],
        weight_bytes=weight_bytes,
        kv_dtype=quantization["kv_cache_quant_algo"] or dtype,
        kv_bytes=kv_token_bytes(model, dtype) * shape.batch_size * cached_tokens(shape),
        extra={
            "tensorrt": tensorrt.__version__,
            "engine_bytes": plan_bytes,
            "plugins": config["build_config"]["plugin_config"],
            "device": torch.cuda.get_device_name(),
        },
    )


def read_json(artefact: Path, name: str) -> dict:
    return json.loads((artefact / name).read_text(encoding="utf-8"))
