"""vLLM: its own LLMEngine inside this process, requests added as token ids, one `step()` per token.

settings: eager_on (device kinds without torch.compile and CUDA graphs), compute (dtype of everything not quantised;
default: the precision), tensor_parallel.
"""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    # Otherwise the engine runs in a second process, and every token's time includes a message between the two.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Its one-process "cluster" looks up the host's address; without network there is only this one.
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}
import numpy as np
import torch
from vllm import EngineArgs, SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.llm_engine import LLMEngine

from bench_vllm.gptq import refuse_gptq
from bench_vllm.loaded import read_back
from common.engine import Engine
from common.launch import main
from common.tools.sizes import kv_token_bytes

SPARE_TOKENS = 4096  # more than vLLM's blocks beside those of the batch, whatever their size


class VLLM(Engine):
    def load(self, job):
        settings, artefact = job.settings, Path(job.model.artefact)
        refuse_gptq(artefact)
        batch, prompt = job.shape.batch_size, job.shape.prompt_tokens
        longest, self.requests = longest_sequence(job), 0
        model_config = json.loads((artefact / "config.json").read_text(encoding="utf-8"))
        if job.device.kind == "cpu":
            torch.set_num_threads(job.threads)  # before the engine is created, which forbids it afterwards
        config = EngineArgs(
            model=str(artefact),
            dtype=settings.get("compute", job.precision),  # "auto" loads a float32 checkpoint as bfloat16
            skip_tokenizer_init=True,
            enforce_eager=job.device.kind in settings.get("eager_on", []),
            tensor_parallel_size=settings.get("tensor_parallel", 1),
            enable_prefix_caching=False,
            max_model_len=longest,
            max_num_seqs=batch,
            max_num_batched_tokens=max(batch * prompt, longest),  # a whole batch's prompts in one step, unchunked
            # Default: 92 % of the memory. An upper bound that vLLM needs to start; the number of blocks is set below.
            kv_cache_memory_bytes=2 * (batch * longest + SPARE_TOKENS) * kv_token_bytes(model_config, "float32"),
            disable_log_stats=True,
        ).create_engine_config()
        # vLLM reserves one block, and a sliding window may begin within one more per sequence.
        blocks_per_sequence = -(-longest // config.cache_config.block_size) + 1
        config.cache_config.num_gpu_blocks_override = batch * blocks_per_sequence + 1
        self.eager = config.model_config.enforce_eager
        self.engine = LLMEngine.from_vllm_config(config)
        return read_back(self.engine, config, job)

    def generate(self, prompts, new_tokens):
        arrived = self._submit(prompts, max_tokens=new_tokens, output_kind=RequestOutputKind.DELTA)
        rows, engine = list(arrived.values()), self.engine
        while engine.has_unfinished_requests():
            for output in engine.step():
                arrived[output.request_id].extend(output.outputs[0].token_ids)
            while all(rows):
                yield [row.popleft() for row in rows]  # [batch]

    def logprobs(self, tokens):
        """From the logits behind prompt_logprobs, which would return Python objects for the whole vocabulary."""
        models = self.engine.collective_rpc(lambda worker: worker.model_runner.model)
        if len(models) > 1:  # the other processes' logits are out of reach
            return NotImplemented
        model, logits = models[0], []
        compute = model.compute_logits

        def recording(*args, **kwargs):
            logits.append(compute(*args, **kwargs))  # [positions, vocab]
            return logits[-1]

        model.compute_logits = recording
        # Compiling the function that ranks a prompt's tokens takes a minute, which an eager engine saves.
        torch.compiler.set_stance("force_eager" if self.eager else "default")
        try:
            reported = self._prompt_logprobs(tokens)
        finally:
            del model.compute_logits
            torch.compiler.set_stance("default")
        # The first call is the sampler's, for the last position; the prompt's follow.
        values = torch.cat(logits[1:]).log_softmax(-1, dtype=torch.float32).cpu().numpy()
        if not np.allclose(values[range(len(reported)), tokens[1:]], reported, atol=1e-3):
            raise RuntimeError("the recorded logits do not give the log-probabilities that vLLM reports")
        return values

    def _submit(self, prompts, **parameters):
        """Queue one greedy request per prompt. Returns {request name: an empty queue}."""
        # ignore_eos disables the stop rule; min_tokens would mask the token and change the output.
        sampling = SamplingParams(temperature=0, ignore_eos=True, detokenize=False, **parameters)
        self.requests += 1
        names = [f"{self.requests}-{row}" for row in range(len(prompts))]
        for name, prompt in zip(names, prompts, strict=True):
            self.engine.add_request(name, {"prompt_token_ids": prompt}, sampling)
        return {name: deque() for name in names}

    def _prompt_logprobs(self, tokens):
        """The log-probability that vLLM reports for every token but the first: [len(tokens) - 1]."""
        self._submit([tokens], max_tokens=1, prompt_logprobs=0)
        reported = []
        while self.engine.has_unfinished_requests():
            for output in self.engine.step():
                entries = output.prompt_logprobs[1:]
                reported = [entry[token].logprob for entry, token in zip(entries, tokens[1:], strict=True)]
        return reported


def longest_sequence(job):
    """Tokens of the longest sequence of a launch: its shape's, a question with its answer, or one to score."""
    answers = [len(question) + job.ask.new_tokens for question in job.ask.prompts] if job.ask else []
    scored = [len(tokens) + 1 for tokens in job.score]
    return max(job.shape.prompt_tokens + job.shape.new_tokens, *answers, *scored, 0)


if __name__ == "__main__":
    main(VLLM)
