"""Quantises a loaded model's linear layers by bitsandbytes or torchao, and reads back the result."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch
from torch import nn

HEAD = "lm_head"  # the output layer is not quantised, as in transformers' use of bitsandbytes


def quantize(model: nn.Module, scheme: str, group_size: int) -> str:
    """Quantise every linear layer but the head (scheme: llm_int8, nf4, fp4, torchao_int8); returns the library."""
    return _torchao(model) if scheme == "torchao_int8" else _bitsandbytes(model, scheme, group_size)


def _torchao(model: nn.Module) -> str:
    from torchao import __version__  # noqa: PLC0415 - for this variant only
    from torchao.quantization import Int8WeightOnlyConfig, quantize_  # noqa: PLC0415

    quantize_(model, Int8WeightOnlyConfig(), filter_fn=lambda layer, name: type(layer) is nn.Linear and name != HEAD)
    return f"torchao {__version__}"


def _bitsandbytes(model: nn.Module, scheme: str, group_size: int) -> str:
    """Replace the layers by bitsandbytes' own, which quantise on the move to a device and, on a CPU, pack their weights
    in the first forward."""
    # At WARNING it logs every matrix product, and the lack of a kernel that only the hub has.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import bitsandbytes  # noqa: PLC0415 - for this variant only

    for name, old in list(model.named_modules()):
        if type(old) is not nn.Linear or name == HEAD:
            continue
        shape = (old.in_features, old.out_features, old.bias is not None)
        if scheme == "llm_int8":
            options = {"has_fp16_weights": False}
            new = bitsandbytes.nn.Linear8bitLt(*shape, threshold=6.0, device="meta", **options)
            new.weight = bitsandbytes.nn.Int8Params(old.weight.data, requires_grad=False, **options)
        else:
            options = {"quant_type": scheme, "compress_statistics": False}
            new = bitsandbytes.nn.Linear4bit(*shape, compute_dtype=old.weight.dtype, device="meta", **options)
            new.weight = bitsandbytes.nn.Params4bit(
                old.weight.data, requires_grad=False, blocksize=group_size, module=new, **options
            )
        new.bias = old.bias
        model.set_submodule(name, new)
    return f"bitsandbytes {bitsandbytes.__version__}"


def weight_tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    """Every weight tensor: quantised ones as packed, with their scales; tied ones once."""
    for weight in model.parameters():  # yields a tied parameter once
        yield from _inner(weight)
        if state := getattr(weight, "quant_state", None):
            yield from (state.absmax, state.code)
    for module in model.modules():
        if (state := getattr(module, "state", None)) is not None:  # Linear8bitLt
            yield state.SCB


def _inner(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensors inside a torchao tensor, which itself reports the dtype and size of the original."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    for name in tensor.__tensor_flatten__()[0]:
        yield from _inner(getattr(tensor, name))


def layer_kind(layer: nn.Linear) -> str:
    """A linear layer's format and matrix product; "plain" if it is not quantised."""
    device = layer.weight.device.type
    if state := getattr(layer.weight, "quant_state", None):
        fused = device != "cpu" or getattr(state, "packing_format_for_cpu", False)
        product = "fused kernel" if fused else "widened for every product"
        return f"{state.quant_type}, groups of {state.blocksize}, {product}"
    if hasattr(layer.weight, "__tensor_flatten__"):
        kinds = "+".join(str(tensor.dtype).removeprefix("torch.") for tensor in _inner(layer.weight))
        return f"torchao {type(layer.weight).__name__} ({kinds})"
    if type(layer) is nn.Linear:
        return "plain"
    native = torch._C._dispatch_has_kernel_for_dispatch_key("bitsandbytes::int8_linear_matmul", device.upper())
    return f"LLM.int8, {'int8' if native else 'float32'} product"
