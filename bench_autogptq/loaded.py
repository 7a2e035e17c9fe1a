"""Reads back the weights and kernels of a model's GPTQModel layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import gptqmodel
import torch
from gptqmodel.nn_modules.qlinear import BaseQuantLinear

from common.engine import Loaded, dtype_name
from common.transformers_model import TransformersEngine


def read_back(engine: TransformersEngine, method: str, kernels: list[str]) -> Loaded:
    """Loaded of a warmed engine; `method` is what GPTQModel calls the quantisation, `kernels` are its extensions."""
    quantised = Counter(describe(layer) for layer in engine.model.modules() if isinstance(layer, BaseQuantLinear))
    plain = sum(type(layer) is torch.nn.Linear for layer in engine.model.modules())
    fields = engine.held(weight_tensors(engine.model), quantised | Counter(plain=plain))
    fields["extra"]["compiled_kernels"] = kernels
    return Loaded(
        version=gptqmodel.__version__,
        dtype=dtype_name(engine.model.dtype),
        quantization="; ".join(f"{method} {name}" for name in sorted(quantised)) or None,
        **fields,
    )


def describe(layer: BaseQuantLinear) -> str:
    """A quantised layer's kernel and format."""
    # gptq_torch_int8 discards the groups when it packs the weights.
    rounded = getattr(layer, "int8_module", None) is not None
    groups = "one scale per output channel" if rounded else f"groups of {layer.group_size}"
    return f"{type(layer).__name__}, {layer.bits} bits, {groups}"


def weight_tensors(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Every weight tensor: packed ones with scales, zero points and group indices; tied ones once."""
    seen = set()
    for module in model.modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items(), *vars(module).items()]:
            if not isinstance(tensor, torch.Tensor) or "inv_freq" in name or tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            yield tensor
