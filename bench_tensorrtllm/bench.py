"""TensorRT-LLM: its C++ executor through the bindings, with one streaming request per prompt; one yield per step.

The LLM API is not used: it adds a process, a queue, asyncio and the detokeniser between a token and its reader.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # TF32 is not float32; read once, when the libraries load
import tensorrt_llm  # noqa: F401 - before its bindings, whose libraries it loads
import tensorrt_llm.bindings.executor as trtllm

from bench_tensorrtllm.loaded import check_built_here, read_back, read_json
from common.engine import Engine
from common.launch import main

NEVER = -1  # as end_id, like the LLM API for ignore_eos
BLOCK = 64  # tokens; a multiple of every default block size of the KV cache


class TensorRTLLM(Engine):
    def load(self, job):
        shape, self.artefact = job.shape, Path(job.model.artefact)
        check_built_here(self.artefact)
        self.executor, self.opened = None, None
        self.batch, self.tokens = shape.batch_size, shape.prompt_tokens + shape.new_tokens
        self.greedy = trtllm.SamplingConfig(beam_width=1, top_k=1)
        self._open("engine", self.batch, self.tokens)
        return read_back(self.artefact, shape)

    def generate(self, prompts, new_tokens):
        self._open("engine", self.batch, self.tokens)
        requests = [self._request(prompt, new_tokens, streaming=True) for prompt in prompts]
        rows = {number: deque() for number in self.executor.enqueue_requests(requests)}
        running = len(rows)
        while running:
            for result, number in self._results():
                rows[number].extend(result.output_token_ids[0])
                running -= result.is_final
            while all(rows.values()):
                yield [row.popleft() for row in rows.values()]  # [batch]

    def logprobs(self, tokens):
        self._open("scoring", 1, len(tokens))
        self.executor.enqueue_request(self._request(tokens[:-1], 1, return_context_logits=True))
        ((result, _),) = self._results()
        vocabulary = read_json(self.artefact, "config.json")["vocab_size"]  # the logits are padded
        logits = result.context_logits[:, :vocabulary]  # [tokens - 1, vocab]
        return logits.float().log_softmax(-1).cpu().numpy()

    def close(self):
        if self.executor is not None:
            self.executor.shutdown()
        self.executor = self.opened = None

    def _open(self, name, batch, tokens):
        """Load the measured engine or the one that returns logits; only one is in memory at a time."""
        if self.opened == (name, tokens):
            return
        self.close()
        per_sequence = (tokens // BLOCK + 2) * BLOCK
        config = trtllm.ExecutorConfig(max_beam_width=1, max_batch_size=batch)
        config.kv_cache_config = trtllm.KvCacheConfig(enable_block_reuse=False, max_tokens=batch * per_sequence)
        self.executor = trtllm.Executor(str(self.artefact / name), trtllm.ModelType.DECODER_ONLY, config)
        self.opened = (name, tokens)

    def _request(self, prompt, new_tokens, streaming=False, **output):
        return trtllm.Request(
            input_token_ids=prompt,
            max_tokens=new_tokens,
            streaming=streaming,
            sampling_config=self.greedy,
            end_id=NEVER,
            output_config=trtllm.OutputConfig(**output),
        )

    def _results(self):
        for response in self.executor.await_responses(timeout=None):
            if response.has_error():
                raise RuntimeError(response.error_msg)
            yield response.result, response.request_id


if __name__ == "__main__":
    main(TensorRTLLM)
