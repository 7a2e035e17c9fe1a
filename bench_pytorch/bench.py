"""PyTorch: a transformers model's own forward in a plain greedy loop, one yield per token.

settings: quantize (llm_int8, nf4, fp4, torchao_int8: see quantization.py), group_size (of the 4-bit ones), compute
(dtype of everything not quantised; default: the precision), compile (torch.compile of the decode step over a static KV
cache), attention (flash: scaled_dot_product_attention must use its flash kernel, or fails).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when transformers is imported
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoModelForCausalLM, StaticCache
from transformers import __version__ as transformers_version
from transformers.utils import logging

from bench_pytorch.quantization import layer_kind, quantize, weight_tensors
from common.engine import Loaded, Unsupported, dtype_name
from common.launch import main
from common.transformers_model import TransformersEngine


class PyTorch(TransformersEngine):
    """generate and logprobs are TransformersEngine's."""

    static_cache = None

    def load(self, job):
        settings, shape = job.settings, job.shape
        self.prepare(job)
        facts = {"transformers": transformers_version}
        if settings.get("attention") == "flash":
            self.next_ids = self.decode = self._next_ids_by_flash
            facts["scaled_dot_product_attention"] = "flash only"
        torch.set_num_threads(job.threads)
        torch.set_num_interop_threads(1)
        torch.set_float32_matmul_precision("highest")  # TF32 is not float32
        logging.disable_progress_bar()
        self.model, report = AutoModelForCausalLM.from_pretrained(
            job.model.artefact,
            dtype=getattr(torch, settings.get("compute", job.precision)),
            attn_implementation="sdpa",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if report["missing_keys"] or report["mismatched_keys"]:  # transformers only warns, and uses random weights
            raise ValueError(f"the checkpoint does not hold the whole model: {report}")
        if scheme := settings.get("quantize"):
            facts["quantizer"] = quantize(self.model, scheme, settings.get("group_size"))
        self.model.to(self.device).eval().requires_grad_(False)  # after quantising: new layers are in training mode
        if settings.get("compile"):
            facts["compile"] = self._compile()
        self.warm(shape.batch_size, shape.prompt_tokens if self.static_cache else 1)
        return self._read_back(facts)

    def _compile(self):
        if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
            raise Unsupported("torch.compile builds C++ at run time and finds no compiler; install g++")
        mode = "reduce-overhead" if self.device.type == "cuda" else "default"  # on CUDA with CUDA graphs
        self.decode = torch.compile(self.next_ids, dynamic=False, mode=mode)
        self.static_cache = StaticCache(config=self.model.config, max_cache_len=self.capacity)
        return f"decode step, mode {mode}"

    def _next_ids_by_flash(self, ids, cache, **where):
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return TransformersEngine.next_ids(self, ids, cache, **where)

    def fresh_cache(self):
        if self.static_cache is None:
            return super().fresh_cache()
        self.static_cache.reset()
        return self.static_cache

    def _read_back(self, facts):
        layers = Counter(layer_kind(layer) for layer in self.model.modules() if isinstance(layer, torch.nn.Linear))
        fields = self.held(weight_tensors(self.model), layers)
        fields["extra"] |= {**facts, "float32_matmul_precision": torch.get_float32_matmul_precision()}
        return Loaded(
            version=torch.__version__,
            dtype="+".join(sorted({dtype_name(p.dtype) for p in self.model.parameters() if p.is_floating_point()})),
            quantization="; ".join(sorted(set(layers) - {"plain"})) or None,
            **fields,
        )


if __name__ == "__main__":
    main(PyTorch)
