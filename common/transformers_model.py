"""A greedy loop over a transformers model's own forward, for every engine whose model is one. Imports torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from transformers import DynamicCache, PreTrainedModel

from common.engine import Engine, dtype_name
from common.tools.sizes import cached_tokens


class TransformersEngine(Engine):
    """`load` calls `prepare` and sets `model`; a subclass may replace `decode` and `fresh_cache` by faster ones."""

    model: PreTrainedModel  # naming the class imports, before load is timed, what from_pretrained would import
    device: torch.device
    capacity: int

    def prepare(self, job):
        """Set the device (torch.device) and the capacity: tokens in the KV cache at the end of the job's shape."""
        self.device = torch.device({"cpu": "cpu", "metal": "mps"}.get(job["device"]["kind"], "cuda"))
        self.capacity = cached_tokens(job["shape"])
        self.decode = self.next_ids

    def fresh_cache(self):
        """An empty KV cache of this model."""
        return DynamicCache(config=self.model.config)

    @torch.inference_mode()
    def warm(self, batch, prompt_tokens=1):
        """Run two steps: torch.compile compiles, kernels pack their weights, the cache allocates its tensors."""
        self.cache = self.fresh_cache()
        prompts = torch.zeros(batch, prompt_tokens, dtype=torch.long, device=self.device)
        ids = self.next_ids(prompts, self.cache)  # [batch]
        self.decode(ids[:, None], self.cache)

    def generate(self, prompts, new_tokens):
        """Greedy ids of every step: `new_tokens` lists [batch], for prompts [batch][tokens]."""
        if len({len(prompt) for prompt in prompts}) > 1:
            yield from self._generate_padded(prompts, new_tokens)
            return
        with torch.inference_mode():
            cache, step = self.fresh_cache(), self.next_ids
        ids = torch.tensor(prompts, device=self.device)  # [batch, prompt], then [batch, 1]
        for _ in range(new_tokens):
            with torch.inference_mode():
                # clone: a CUDA graph writes its next output over its last one, which is this step's input
                ids = step(ids, cache).clone()[:, None]
            yield ids[:, 0].tolist()
            step = self.decode

    def _generate_padded(self, prompts, new_tokens):
        """Prompts of unequal lengths, padded on the left and not compiled: only `check` has them, no workload."""
        cache, longest = DynamicCache(config=self.model.config), max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        rows = [[0] * pad + prompt for pad, prompt in zip(padding, prompts, strict=True)]
        ids = torch.tensor(rows, device=self.device)  # [batch, longest], then [batch, 1]
        seen = torch.tensor([[0] * pad + [1] * (longest - pad + new_tokens) for pad in padding], device=self.device)
        # seen, positions: [batch, longest + new_tokens]
        positions = (seen.cumsum(-1) - 1).clamp(min=0)
        for depth in range(longest, longest + new_tokens):
            with torch.inference_mode():
                where = {"attention_mask": seen[:, :depth], "position_ids": positions[:, depth - ids.shape[1] : depth]}
                ids = self.next_ids(ids, cache, **where)[:, None]
            yield ids[:, 0].tolist()

    def next_ids(self, ids, cache, **where):
        """The greedy next id of every row: ids [batch, tokens] to [batch]."""
        output = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **where)
        return output.logits[:, -1].argmax(-1)

    @torch.inference_mode()
    def logprobs(self, tokens):
        """[len(tokens) - 1, vocab] float32, by one forward over all tokens but the last."""
        ids = torch.tensor([tokens[:-1]], device=self.device)  # [1, tokens - 1]
        return self.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1).cpu().numpy()

    def held(self, weights: Iterable[torch.Tensor], layers: Counter) -> dict:
        """Fields of Loaded from the tensors in `weights`, the warmed cache and `layers` ({kind: count})."""
        by_dtype: Counter[str] = Counter()
        for tensor in weights:
            by_dtype[dtype_name(tensor.dtype)] += tensor.nbytes
        cached = [kv for layer in self.cache.layers for kv in (layer.keys, layer.values)]  # [batch, heads, tokens, dim]
        on_cpu = self.device.type == "cpu"
        return {
            "weight_bytes": by_dtype.total(),
            "threads": torch.get_num_threads() if on_cpu else None,
            "kv_dtype": dtype_name(cached[0].dtype),
            "kv_bytes": sum(kv.nbytes // kv.shape[-2] for kv in cached) * self.capacity,
            "extra": {
                "torch": torch.__version__,
                "attention": self.model.config._attn_implementation,
                "kv_cache": type(self.cache).__name__,
                "weight_bytes_by_dtype": dict(by_dtype),
                "linear_layers": dict(layers),  # "plain": not quantised, which a quantiser does not report
                "device": f"CPU, {torch.backends.cpu.get_cpu_capability()}" if on_cpu else torch.cuda.get_device_name(),
            },
        }
