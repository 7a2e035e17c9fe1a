"""Reads back the tensors of ExLlamaV2's modules and cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from exllamav2 import ExLlamaV2, ExLlamaV2Cache, ExLlamaV2Config
from exllamav2.attn import has_flash_attn, has_xformers
from exllamav2.version import __version__

from common.engine import Loaded, dtype_name

if TYPE_CHECKING:
    from exllamav2.module import ExLlamaV2Module


def read_back(model: ExLlamaV2, cache: ExLlamaV2Cache, config: ExLlamaV2Config) -> Loaded:
    """Loaded of a model and its cache, from their tensors."""
    tensors = [tensor for module in model.modules_dict.values() for tensor in stored(module)]
    quantised = [module for module in model.modules_dict.values() if getattr(module, "q_tensors", None)]
    bits = {module.key: 8 * sum(t.nbytes for t in stored(module)) / module.numel() for module in quantised}
    formats = {"EXL2" if "q_weight" in module.q_tensors else "GPTQ" for module in quantised}
    kv = cache.all_tensors()
    return Loaded(
        version=__version__,
        dtype="+".join(sorted({dtype_name(tensor.dtype) for tensor in tensors if tensor.is_floating_point()})),
        quantization="+".join(sorted(formats)) or None,
        weight_bytes=sum(tensor.nbytes for tensor in tensors),
        kv_dtype=dtype_name(kv[0].dtype),
        kv_bytes=sum(tensor.nbytes for tensor in kv),
        extra={
            "torch": torch.__version__,
            "attention": attention(config),
            "bits_per_weight": {key: round(value, 3) for key, value in bits.items()},
            "bytes_on_cpu": sum(tensor.nbytes for tensor in tensors if tensor.device.type == "cpu"),
            "device": torch.cuda.get_device_name(),
        },
    )


def attention(config: ExLlamaV2Config) -> str:
    """The library whose attention kernel ExLlamaV2 uses."""
    if has_flash_attn and not config.no_flash_attn:
        return "flash-attn"
    return "xformers" if has_xformers and not config.no_xformers else "PyTorch"


def stored(module: ExLlamaV2Module) -> list[torch.Tensor]:
    """The tensors of one module: packed weights with scales and order, or a plain matrix, norm or embedding."""
    if packed := getattr(module, "q_tensors", None):
        return list(packed.values())
    holder = getattr(module, "linear", None) or getattr(module, "embedding", None) or module
    return [t for t in (getattr(holder, "weight", None), getattr(holder, "bias", None)) if t is not None]
