"""GPTQModel: a quantised transformers model whose linear layers are GPTQModel's kernels; its forward in a greedy loop.

settings: group_size (see convert.py), compute (dtype of the rest), backend (GPTQModel's name of the kernel, by device).
"""

from __future__ import annotations

import os
from collections import Counter

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["GPTQMODEL_CPU_WORKERS"] = "2"  # its model loader fails on two CPUs with its own default of one
import gptqmodel
import torch
from gptqmodel import BACKEND, GPTQModel
from gptqmodel.nn_modules.qlinear import BaseQuantLinear
from transformers import DynamicCache

from bench_autoawq.extensions import load_extensions
from common import Engine, Loaded, main


class AutoAWQ(Engine):
    def load(self, job):
        settings, shape = job["settings"], job["shape"]
        self.device = torch.device("cpu" if job["device"]["kind"] == "cpu" else "cuda")
        self.capacity = shape["prompt_tokens"] + shape["new_tokens"] - 1  # the last token is never fed back
        self.kernels = load_extensions()
        dtype = getattr(torch, settings["compute"])
        path, device = job["model"]["artefact"], str(self.device)
        backend = BACKEND(settings["backend"][self.device.type])
        self.model = GPTQModel.load(path, device=device, backend=backend, dtype=dtype, trust_remote_code=False).model
        self.model.eval().requires_grad_(False)
        torch.set_num_threads(job["threads"])  # after loading, which sets a count of its own
        for _ in self.generate([[0]] * shape["batch_size"], 2):  # the kernels repack their weights in the first forward
            pass
        return self._read_back()

    def generate(self, prompts, new_tokens):
        self.cache = DynamicCache(config=self.model.config)
        ids = torch.tensor(prompts, device=self.device)
        for _ in range(new_tokens):
            with torch.inference_mode():
                output = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
                ids = output.logits[:, -1].argmax(-1)[:, None]
            yield ids[:, 0].tolist()

    @torch.inference_mode()
    def logprobs(self, tokens):
        ids = torch.tensor([tokens[:-1]], device=self.device)
        return self.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1).cpu().numpy()

    def _read_back(self):
        held, names = Counter(), Counter()
        for tensor in tensors(self.model):
            held[_name(tensor.dtype)] += tensor.nbytes
        quantised = [layer for layer in self.model.modules() if isinstance(layer, BaseQuantLinear)]
        names.update(f"{type(layer).__name__}, {layer.bits} bits, groups of {layer.group_size}" for layer in quantised)
        plain = sum(type(layer) is torch.nn.Linear for layer in self.model.modules())
        cached = [kv for layer in self.cache.layers for kv in (layer.keys, layer.values)]  # [batch, heads, tokens, dim]
        on_cpu = self.device.type == "cpu"
        return Loaded(
            version=gptqmodel.__version__,
            dtype=_name(self.model.dtype),
            quantization="; ".join(f"awq {name}" for name in sorted(names)) or None,
            weight_bytes=held.total(),
            threads=torch.get_num_threads() if on_cpu else None,
            kv_dtype=_name(cached[0].dtype),
            kv_bytes=sum(kv.nbytes // kv.shape[-2] for kv in cached) * self.capacity,
            extra={
                "torch": torch.__version__,
                "linear_layers": {**names, "plain": plain},
                "weight_bytes_by_dtype": dict(held),
                "compiled_kernels": self.kernels,
                "attention": self.model.config._attn_implementation,
                "device": f"CPU, {torch.backends.cpu.get_cpu_capability()}" if on_cpu else torch.cuda.get_device_name(),
            },
        )


def tensors(model):
    """Every tensor that holds weights: packed ones with scales, zero points and group indices, tied ones once."""
    seen = set()
    for module in model.modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items(), *vars(module).items()]:
            if not isinstance(tensor, torch.Tensor) or "inv_freq" in name or tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            yield tensor


def _name(dtype):
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main(AutoAWQ)
