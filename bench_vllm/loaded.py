"""Reads back vLLM's workers: packed weights, KV cache blocks, kernels, compilation."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import torch
import vllm

from common.engine import Loaded, dtype_name
from common.tools.sizes import cached_tokens

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.worker.worker_base import WorkerBase


def read_back(engine: LLMEngine, config: VllmConfig, job: dict) -> Loaded:
    """Loaded of an LLMEngine, over all its workers."""
    workers = engine.collective_rpc(inspect)  # one per GPU of a tensor-parallel group
    first, compilation, cache = workers[0], config.compilation_config, config.cache_config
    reserved = sum(worker["kv_bytes"] for worker in workers)
    token_bytes = reserved // (cache.num_gpu_blocks * cache.block_size)
    return Loaded(
        version=vllm.__version__,
        dtype=first["dtype"],
        quantization="; ".join(first["schemes"]) or None,
        weight_bytes=sum(worker["weight_bytes"] for worker in workers),
        threads=first["threads"] if job.device.kind == "cpu" else None,
        kv_dtype=first["kv_dtype"],
        kv_bytes=token_bytes * job.shape.batch_size * cached_tokens(job.shape),
        extra={
            "layers": first["layers"],
            "extra_copies_bytes": sum(worker["copy_bytes"] for worker in workers),
            "kv_pool": f"{cache.num_gpu_blocks} blocks of {cache.block_size} tokens, {reserved} bytes",
            "compilation": compilation.mode.name,
            "cuda_graphs": compilation.cudagraph_mode.name,
            "attention": first["attention"],
            "async_scheduling": config.scheduler_config.async_scheduling,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "torch": torch.__version__,
            "workers": len(workers),
        },
    )


def inspect(worker: WorkerBase) -> dict:
    """Facts about one worker. On a CPU vLLM passes most matrices, packed, to oneDNN and empties the parameter."""
    runner = worker.model_runner
    layers, schemes, packed, copies = Counter(), set(), 0, 0
    for layer in runner.model.modules():
        method = getattr(layer, "quant_method", None)
        scheme = getattr(layer, "scheme", None)  # of compressed-tensors; for GPTQ and AWQ the method is the scheme
        if scheme is None and getattr(method, "quant_config", None):
            scheme = method
        kernel = getattr(scheme, "kernel", None)
        if method:
            parts = (scheme or method, kernel) if kernel else (scheme or method,)
            layers[" ".join(type(part).__name__ for part in parts)] += 1
        if scheme:
            schemes.add(type(scheme).__name__)
        closure = getattr(getattr(layer, "cpu_linear", None), "__closure__", None) or ()
        size = sum(_bytes(cell.cell_contents, layer.weight.dtype.itemsize) for cell in closure)
        if size and layer.weight.numel():  # embedding and head also keep their parameter
            copies += size
        else:
            packed += size
        packed += _bytes(getattr(kernel, "dnnl_handler", None), 1)  # int8
    parameters = dict(runner.model.named_parameters())
    plain = [p for name, p in parameters.items() if p.is_floating_point() and not re.search("scale|azp", name)]
    caches = {cache.data_ptr(): cache for cache in runner.kv_caches}.values()
    return {
        "dtype": "+".join(sorted({dtype_name(parameter.dtype) for parameter in plain})),
        "schemes": sorted(schemes),
        "layers": dict(layers),
        "weight_bytes": packed + sum(parameter.nbytes for parameter in parameters.values()),
        "copy_bytes": copies,
        "kv_bytes": sum(cache.nbytes for cache in caches),
        "kv_dtype": ", ".join(sorted({dtype_name(cache.dtype) for cache in caches})),
        "attention": sorted({type(m.impl).__name__ for m in runner.model.modules() if hasattr(m, "impl")}),
        "threads": torch.get_num_threads(),
    }


def _bytes(value: object, itemsize: int) -> int:
    """Bytes of a tensor or of a oneDNN matrix; 0 for anything else."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return value.n * value.k * itemsize if hasattr(value, "handler_tensor") else 0
