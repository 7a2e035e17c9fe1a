"""llama.cpp through its C API: llama_decode and a greedy llama_sampler, one Python loop turn per step.

The bindings' own generator (`Llama.generate`) costs a fifth of the decode speed on a small model; this loop does not.
"""

from __future__ import annotations

import ctypes
import itertools
import re
import sys

import llama_cpp as llama
import numpy as np

from common.engine import Engine, Loaded
from common.launch import main
from common.tools.logits import log_softmax

GGML_LOG_LEVEL_DEBUG = 4
FLOAT_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
FILE_TYPES = {
    getattr(llama, name): name.removeprefix("LLAMA_FTYPE_MOSTLY_").lower()
    for name in dir(llama)
    if name.startswith("LLAMA_FTYPE_MOSTLY_")
}


class LlamaCpp(Engine):
    def load(self, job):
        self.job = job
        self.log: list[str] = []
        self.listener = llama.llama_log_callback(self._listen)  # kept: C holds a bare pointer to it
        llama.llama_log_set(self.listener, None)
        llama.llama_backend_init()
        on_cpu = job["device"]["kind"] == "cpu"
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = 0 if on_cpu else -1  # -1: all
        # Read, not mapped: every weight is resident before the first step, and counts as this process's own memory.
        parameters.load_mode = llama.LLAMA_LOAD_MODE_NONE
        self.model = llama.llama_model_load_from_file(f"{job['model']['artefact']}/model.gguf".encode(), parameters)
        if not self.model:
            raise RuntimeError("llama.cpp did not load the model:\n" + "".join(self.log[-8:]))
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))

        shape = job["shape"]
        size, prompt = shape["batch_size"], shape["prompt_tokens"]
        self.context = self._context(size * (prompt + shape["new_tokens"]), size, size * prompt)
        self.batch = llama.llama_batch_init(size * prompt, 0, 1)
        self.sampler = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        llama.llama_sampler_chain_add(self.sampler, llama.llama_sampler_init_greedy())
        return self._loaded(on_cpu)

    def _listen(self, level, text, _data):
        if level == GGML_LOG_LEVEL_DEBUG:
            return
        line = text.decode(errors="replace")
        self.log.append(line)
        sys.stderr.write(line)

    def _context(self, cells, sequences, tokens_at_once, outputs_per_sequence=1):
        parameters = llama.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = cells, sequences
        parameters.n_batch = max(parameters.n_batch, tokens_at_once)
        parameters.n_outputs_max_per_seq = outputs_per_sequence
        parameters.n_threads = parameters.n_threads_batch = self.job["threads"]
        parameters.swa_full = False  # as llama-bench and llama-server do
        if self.job["settings"].get("kv") == "f32":
            parameters.type_k = parameters.type_v = llama.GGML_TYPE_F32
            # Flash attention casts an f32 cache to f16 at every step (llama-graph.cpp): log-probabilities off by 2e-3.
            parameters.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama.llama_init_from_model(self.model, parameters)
        if not context:
            raise RuntimeError("llama.cpp made no context:\n" + "".join(self.log[-8:]))
        return context

    def _loaded(self, on_cpu):
        """What the library says of itself: its C API, and its log where the API has no call for it."""
        log = "".join(self.log)
        types = {kind: int(count) for kind, count in re.findall(r"- type +(\w+): +(\d+) tensors", log)}
        held = sorted(set(types) - {"f32"}) or ["f32"]  # norms are f32 in every file
        caches = re.findall(r": size = +([\d.]+) MiB \(.* cells.* K \((\w+)\).* V \((\w+)\)", log)
        offloaded = re.findall(r"offloaded (\d+)/(\d+) layers to GPU", log)
        if not on_cpu and (not offloaded or offloaded[-1][0] != offloaded[-1][1]):
            raise RuntimeError(f"not every layer is on the {self.job['device']['kind']} device: {offloaded}")
        kv_types = sorted({FLOAT_TYPES.get(kind, kind) for cache in caches for kind in cache[1:]})
        return Loaded(
            version=f"{llama.llama_version().decode()} ({commit()})",
            dtype=FLOAT_TYPES.get(held[0], "float32"),
            quantization=None if set(held) <= set(FLOAT_TYPES) else FILE_TYPES[llama.llama_model_ftype(self.model)],
            weight_bytes=llama.llama_model_size(self.model),
            threads=llama.llama_n_threads(self.context) if on_cpu else None,
            kv_dtype=", ".join(kv_types) or None,
            kv_bytes=round(sum(float(cache[0]) for cache in caches) * 2**20) if caches else None,
            extra={
                "tensor_types": types,
                "weight_buffers_mib": {
                    buffer: float(size) for buffer, size in re.findall(r"(\S+) model buffer size = +([\d.]+) MiB", log)
                },
                "flash_attention": "Flash Attention enabled" in log,
                "load_mode": "none (read into memory, not mapped)",
                "bindings": f"llama-cpp-python {llama.__version__}",
                "system": llama.llama_print_system_info().decode().strip(),
            },
        )

    def _decode(self, context, batch):
        status = llama.llama_decode(context, batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}:\n" + "".join(self.log[-4:]))

    def generate(self, prompts, new_tokens):
        context, batch, sampler, sample = self.context, self.batch, self.sampler, llama.llama_sampler_sample
        llama.llama_memory_clear(llama.llama_get_memory(context), False)
        fill(batch, prompts, last_only=True)
        lengths, sequences = [len(prompt) for prompt in prompts], range(len(prompts))
        self._decode(context, batch)
        ids = [sample(sampler, context, end - 1) for end in itertools.accumulate(lengths)]
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
        """In a context of its own, so that the one that was measured is no larger than its job."""
        count = len(tokens) - 1
        context, batch = self._context(count, 1, count, count), llama.llama_batch_init(count, 0, 1)
        fill(batch, [tokens[:-1]], last_only=False)
        self._decode(context, batch)
        logits = np.ctypeslib.as_array(llama.llama_get_logits(context), (count, self.vocabulary)).copy()
        llama.llama_batch_free(batch)
        llama.llama_free(context)
        return log_softmax(logits)

    def close(self):
        llama.llama_sampler_free(self.sampler)
        llama.llama_batch_free(self.batch)
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)


def commit():
    """llama.cpp's commit, as compiled into the library."""
    function = llama.llama_cpp._lib.ggml_commit
    function.restype = ctypes.c_char_p
    return function().decode()


def fill(batch, prompts, last_only):
    """Put whole prompts into `batch`, one sequence each; ask for the logits of every token, or of each one's last."""
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
