"""PyTorch: a transformers model's own forward in a plain greedy loop, one yield per token.

settings: quantize (llm_int8, nf4, fp4: see quantization.py), group_size (of the 4-bit ones), compute (dtype of all that
is not quantised; default: the precision), compile (torch.compile of the decode step over a static KV cache).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when transformers is imported
import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel, StaticCache
from transformers import __version__ as transformers_version
from transformers.utils import logging

from bench_pytorch.quantization import layer_kind, quantize, weight_tensors
from common import Engine, Loaded, Unsupported, main


class PyTorch(Engine):
    model: PreTrainedModel  # naming it imports, before load is timed, what transformers would import in from_pretrained

    def load(self, job):
        settings, shape = job["settings"], job["shape"]
        self.device = torch.device({"cpu": "cpu", "metal": "mps"}.get(job["device"]["kind"], "cuda"))
        self.capacity = shape["prompt_tokens"] + shape["new_tokens"] - 1  # the last token is never fed back
        self.facts = {"transformers": transformers_version}
        torch.set_num_threads(job["threads"])
        torch.set_num_interop_threads(1)
        torch.set_float32_matmul_precision("highest")  # TF32 is not float32
        logging.disable_progress_bar()
        self.model, report = AutoModelForCausalLM.from_pretrained(
            job["model"]["artefact"], dtype=getattr(torch, settings.get("compute", job["precision"])),
            attn_implementation="sdpa", local_files_only=True, use_safetensors=True, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
        if report["missing_keys"] or report["mismatched_keys"]:  # only a warning to transformers: it fills in noise
            raise ValueError(f"the checkpoint does not hold the whole model: {report}")
        if scheme := settings.get("quantize"):
            self.facts["quantizer"] = quantize(self.model, scheme, settings.get("group_size"))
        self.model.to(self.device).eval().requires_grad_(False)  # after quantising: new layers start in training mode
        self.static_cache, self.decode = None, self._next_ids
        if settings.get("compile"):
            self._compile()
        self._warm(shape["batch_size"], shape["prompt_tokens"] if self.static_cache else 1)
        return self._read_back()

    def _compile(self):
        if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
            raise Unsupported("torch.compile builds C++ at run time and finds no compiler; install g++")
        mode = "reduce-overhead" if self.device.type == "cuda" else "default"  # on CUDA with CUDA graphs
        self.decode = torch.compile(self._next_ids, dynamic=False, mode=mode)
        self.static_cache = StaticCache(config=self.model.config, max_cache_len=self.capacity)
        self.facts["compile"] = f"decode step, mode {mode}"

    @torch.inference_mode()
    def _warm(self, batch, prompt_tokens):
        """Two steps: torch.compile compiles, bitsandbytes packs its weights, the cache shows its real tensors."""
        self.cache = self._fresh_cache()
        ids = self._next_ids(torch.zeros(batch, prompt_tokens, dtype=torch.long, device=self.device), self.cache)
        self.decode(ids[:, None], self.cache)

    @torch.inference_mode()
    def _fresh_cache(self):
        if self.static_cache is None:
            return DynamicCache(config=self.model.config)
        self.static_cache.reset()
        return self.static_cache

    def generate(self, prompts, new_tokens):
        if len({len(prompt) for prompt in prompts}) > 1:
            yield from self._generate_padded(prompts, new_tokens)
            return
        cache, step = self._fresh_cache(), self._next_ids
        ids = torch.tensor(prompts, device=self.device)
        for _ in range(new_tokens):
            with torch.inference_mode():
                # clone: a CUDA graph writes its next output where its last one, this step's input, still lies
                ids = step(ids, cache).clone()[:, None]
            yield ids[:, 0].tolist()
            step = self.decode

    def _generate_padded(self, prompts, new_tokens):
        """Prompts of unequal lengths, padded on the left, not compiled: no workload has them, only `check` does."""
        cache, longest = DynamicCache(config=self.model.config), max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        rows = [[0] * pad + prompt for pad, prompt in zip(padding, prompts, strict=True)]
        ids = torch.tensor(rows, device=self.device)
        seen = torch.tensor([[0] * pad + [1] * (longest - pad + new_tokens) for pad in padding], device=self.device)
        positions = (seen.cumsum(-1) - 1).clamp(min=0)
        for depth in range(longest, longest + new_tokens):
            with torch.inference_mode():
                where = {"attention_mask": seen[:, :depth], "position_ids": positions[:, depth - ids.shape[1] : depth]}
                ids = self._next_ids(ids, cache, **where)[:, None]
            yield ids[:, 0].tolist()

    def _next_ids(self, ids, cache, **where):
        output = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **where)
        return output.logits[:, -1].argmax(-1)

    @torch.inference_mode()
    def logprobs(self, tokens):
        ids = torch.tensor([tokens[:-1]], device=self.device)
        return self.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1).cpu().numpy()

    def _read_back(self):
        held = Counter()
        for tensor in weight_tensors(self.model):
            held[_name(tensor.dtype)] += tensor.nbytes
        layers = Counter(layer_kind(layer) for layer in self.model.modules() if isinstance(layer, torch.nn.Linear))
        cached = [kv for layer in self.cache.layers for kv in (layer.keys, layer.values)]  # [batch, heads, tokens, dim]
        on_cpu = self.device.type == "cpu"
        self.facts |= {
            "attention": self.model.config._attn_implementation,
            "kv_cache": type(self.cache).__name__,
            "weight_bytes_by_dtype": dict(held),
            "linear_layers": dict(layers),  # a quantiser passes over a layer in silence; here it would be "plain"
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "device": f"CPU, {torch.backends.cpu.get_cpu_capability()}" if on_cpu else torch.cuda.get_device_name(),
        }
        return Loaded(
            version=torch.__version__,
            dtype="+".join(sorted({_name(p.dtype) for p in self.model.parameters() if p.is_floating_point()})),
            quantization="; ".join(sorted(set(layers) - {"plain"})) or None,
            weight_bytes=held.total(),
            threads=torch.get_num_threads() if on_cpu else None,
            kv_dtype=_name(cached[0].dtype),
            kv_bytes=sum(kv.nbytes // kv.shape[-2] for kv in cached) * self.capacity,
            extra=self.facts,
        )


def _name(dtype):
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main(PyTorch)
