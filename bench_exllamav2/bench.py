"""ExLlamaV2: the model's own forward over a cache of the job's size, argmax on the GPU, one yield per step.

Its generators are not used: they add sampling, text and a job queue to every step, and a page table to the cache.
"""

from __future__ import annotations

import torch
from exllamav2 import ExLlamaV2, ExLlamaV2Cache, ExLlamaV2Config

from bench_exllamav2.loaded import read_back
from common.engine import Engine
from common.launch import main
from common.tools.sizes import cached_tokens


class ExLlama(Engine):
    def load(self, job):
        batch = job.shape.batch_size
        config = ExLlamaV2Config(job.model.artefact)
        config.arch_compat_overrides()
        config.max_batch_size = batch  # determines the size of its scratch buffers
        self.vocabulary = config.vocab_size
        self.model = ExLlamaV2(config)
        self.model.load()
        self.cache = ExLlamaV2Cache(self.model, batch, cached_tokens(job.shape))
        return read_back(self.model, self.cache, config)

    def generate(self, prompts, new_tokens):
        self.cache.reset()
        ids = torch.tensor(prompts)  # [batch, prompt], on the CPU, where ExLlamaV2 keeps the embedding
        for _ in range(new_tokens):
            logits = self._logits(ids, self.cache, last_id_only=True)  # [batch, 1, vocab]
            ids = logits[:, -1].argmax(-1, keepdim=True).cpu()  # [batch, 1]
            yield ids[:, 0].tolist()

    def logprobs(self, tokens):
        """With a separate cache: without one, ExLlamaV2 accepts no more tokens than fit its scratch buffers."""
        cache = ExLlamaV2Cache(self.model, 1, len(tokens) - 1)
        logits = self._logits(torch.tensor([tokens[:-1]]), cache, cpu_logits=True)  # [1, tokens, vocab]
        return logits[0].float().log_softmax(-1).numpy()

    def _logits(self, ids, cache, **options):
        """Logits without the columns that pad the vocabulary to a multiple of 32."""
        return self.model.forward(ids, cache, **options)[..., : self.vocabulary]

    def close(self):
        self.model.unload()


if __name__ == "__main__":
    main(ExLlama)
