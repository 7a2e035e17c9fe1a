"""ExLlamaV2: the model's own forward over a cache of the job's size, argmax on the GPU, one yield per step.

Not its generators: they add sampling, text and a queue of jobs to every step, and their page table to the cache.
"""

from __future__ import annotations

import torch
from exllamav2 import ExLlamaV2, ExLlamaV2Cache, ExLlamaV2Config
from exllamav2.attn import has_flash_attn, has_xformers
from exllamav2.version import __version__

from common.engine import Engine, Loaded, dtype_name
from common.launch import main
from common.tools.sizes import cached_tokens


class ExLlama(Engine):
    def load(self, job):
        shape = job["shape"]
        config = ExLlamaV2Config(job["model"]["artefact"])
        config.arch_compat_overrides()
        config.max_batch_size = shape["batch_size"]  # its scratch buffers are made for it
        self.vocabulary = config.vocab_size
        self.model = ExLlamaV2(config)
        self.model.load()
        self.cache = ExLlamaV2Cache(self.model, shape["batch_size"], cached_tokens(shape))
        return self._read_back(config)

    def generate(self, prompts, new_tokens):
        self.cache.reset()
        ids = torch.tensor(prompts)  # on the CPU, where ExLlamaV2 keeps the embedding
        for _ in range(new_tokens):
            logits = self._logits(ids, self.cache, last_id_only=True)
            ids = logits[:, -1].argmax(-1, keepdim=True).cpu()
            yield ids[:, 0].tolist()

    def logprobs(self, tokens):
        """Over a cache of its own: without one, ExLlamaV2 takes no more tokens than fit its scratch buffers."""
        cache = ExLlamaV2Cache(self.model, 1, len(tokens) - 1)
        logits = self._logits(torch.tensor([tokens[:-1]]), cache, cpu_logits=True)
        return logits[0].float().log_softmax(-1).numpy()

    def _logits(self, ids, cache, **how):
        """Without the columns that pad the vocabulary to a multiple of 32."""
        return self.model.forward(ids, cache, **how)[..., : self.vocabulary]

    def close(self):
        self.model.unload()

    def _read_back(self, config):
        held = [tensor for module in self.model.modules_dict.values() for tensor in stored(module)]
        quantised = [module for module in self.model.modules_dict.values() if getattr(module, "q_tensors", None)]
        bits = {module.key: 8 * sum(t.nbytes for t in stored(module)) / module.numel() for module in quantised}
        kinds = {"EXL2" if "q_weight" in module.q_tensors else "GPTQ" for module in quantised}
        kv = self.cache.all_tensors()
        return Loaded(
            version=__version__,
            dtype="+".join(sorted({dtype_name(tensor.dtype) for tensor in held if tensor.is_floating_point()})),
            quantization="+".join(sorted(kinds)) or None,
            weight_bytes=sum(tensor.nbytes for tensor in held),
            kv_dtype=dtype_name(kv[0].dtype),
            kv_bytes=sum(tensor.nbytes for tensor in kv),
            extra={
                "torch": torch.__version__,
                "attention": self._attention(config),
                "bits_per_weight": {key: round(value, 3) for key, value in bits.items()},
                "bytes_on_cpu": sum(tensor.nbytes for tensor in held if tensor.device.type == "cpu"),
                "device": torch.cuda.get_device_name(),
            },
        )

    @staticmethod
    def _attention(config):
        if has_flash_attn and not config.no_flash_attn:
            return "flash-attn"
        return "xformers" if has_xformers and not config.no_xformers else "PyTorch"


def stored(module):
    """The tensors of one module: packed weights with scales and order, or a plain matrix, norm or embedding."""
    if packed := getattr(module, "q_tensors", None):
        return list(packed.values())
    holder = getattr(module, "linear", None) or getattr(module, "embedding", None) or module
    return [t for t in (getattr(holder, "weight", None), getattr(holder, "bias", None)) if t is not None]


if __name__ == "__main__":
    main(ExLlama)
