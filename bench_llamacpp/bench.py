"""llama.cpp through its C API: llama_decode and a greedy llama_sampler, one turn of a Python loop per step.

The bindings' own generator (`Llama.generate`) is not used: it costs a small model a fifth of its decode speed.
"""

from __future__ import annotations

import itertools
from dataclasses import astuple

import llama_cpp as llama
import numpy as np

from bench_llamacpp.loaded import Log, read_back
from common.engine import Engine
from common.launch import main
from common.tools.logits import log_softmax


class LlamaCpp(Engine):
    def load(self, job):
        self.job, self.log = job, Log()
        llama.llama_backend_init()
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = 0 if job.device.kind == "cpu" else -1  # -1: all
        # Read, not mapped: all weights are resident before the first step and count as this process's memory.
        parameters.load_mode = llama.LLAMA_LOAD_MODE_NONE
        self.model = llama.llama_model_load_from_file(f"{job.model.artefact}/model.gguf".encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp did not load the model:\n{self.log.tail(8)}")
        size, prompt, new = astuple(job.shape)
        self.context = self._context(size * (prompt + new), size, size * prompt)
        self.batch = llama.llama_batch_init(size * prompt, 0, 1)
        self.sampler = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        llama.llama_sampler_chain_add(self.sampler, llama.llama_sampler_init_greedy())
        return read_back(self.model, self.context, self.log, job.device.kind)

    def generate(self, prompts, new_tokens):
        context, batch, sampler, sample = self.context, self.batch, self.sampler, llama.llama_sampler_sample
        llama.llama_memory_clear(llama.llama_get_memory(context), False)
        fill(batch, prompts, last_only=True)  # prompts: [batch][prompt]
        lengths, sequences = [len(prompt) for prompt in prompts], range(len(prompts))
        self._decode(context, batch)
        ids = [sample(sampler, context, end - 1) for end in itertools.accumulate(lengths)]  # ids: [batch]
        yield ids
        token, position = batch.token, batch.pos
        for sequence in sequences:
            batch.seq_id[sequence][0], batch.logits[sequence] = sequence, 1
        batch.n_tokens = len(prompts)
        for step in range(new_tokens - 1):
            for sequence in sequences:
                token[sequence], position[sequence] = ids[sequence], lengths[sequence] + step
            self._decode(context, batch)
            ids = [sample(sampler, context, sequence) for sequence in sequences]
            yield ids

    def logprobs(self, tokens):
        """In a separate context, so that the measured one is no larger than its job."""
        count = len(tokens) - 1
        context, batch = self._context(count, 1, count, count), llama.llama_batch_init(count, 0, 1)
        fill(batch, [tokens[:-1]], last_only=False)
        self._decode(context, batch)
        vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        logits = np.ctypeslib.as_array(llama.llama_get_logits(context), (count, vocabulary)).copy()  # [count, vocab]
        llama.llama_batch_free(batch)
        llama.llama_free(context)
        return log_softmax(logits)

    def close(self):
        llama.llama_sampler_free(self.sampler)
        llama.llama_batch_free(self.batch)
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)

    def _context(self, cells, sequences, tokens_at_once, outputs_per_sequence=1):
        """A context whose KV cache has `cells` tokens, for up to `tokens_at_once` tokens in one llama_decode."""
        parameters = llama.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = cells, sequences
        parameters.n_batch = max(parameters.n_batch, tokens_at_once)
        parameters.n_outputs_max_per_seq = outputs_per_sequence
        parameters.n_threads = parameters.n_threads_batch = self.job.threads
        parameters.swa_full = False  # as llama-bench and llama-server do
        if self.job.settings.get("kv") == "f32":
            parameters.type_k = parameters.type_v = llama.GGML_TYPE_F32
            # Flash attention casts an f32 cache to f16 at every step (llama-graph.cpp): log-probabilities off by 2e-3.
            parameters.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama.llama_init_from_model(self.model, parameters)
        if not context:
            raise RuntimeError(f"llama.cpp created no context:\n{self.log.tail(8)}")
        return context

    def _decode(self, context, batch):
        status = llama.llama_decode(context, batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}:\n{self.log.tail(4)}")


def fill(batch, prompts, last_only):
    """Put whole prompts into `batch`, one sequence each; request the logits of every token, or of each last one."""
    index = 0
    for sequence, prompt in enumerate(prompts):
        for position, token in enumerate(prompt):
            batch.token[index], batch.pos[index], batch.n_seq_id[index] = token, position, 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = not last_only or position == len(prompt) - 1
            index += 1
    batch.n_tokens = index


if __name__ == "__main__":
    main(LlamaCpp)
