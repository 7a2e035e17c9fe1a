"""TensorRT-LLM: its C++ executor through the bindings, as a streaming request for each prompt; one yield per step.

Not the LLM API around it, which adds a process, a queue, asyncio and the detokeniser between a token and its reader.
"""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path

os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # TF32 is not float32; read once, when the libraries load
import tensorrt
import tensorrt_llm  # before its bindings: it loads the libraries that they need
import tensorrt_llm.bindings.executor as trtllm
import torch

from common.convert.safetensors_file import tensor_bytes
from common.engine import Engine, Loaded
from common.launch import main
from common.tools.sizes import kv_token_bytes

NEVER = -1  # as end_id: what the LLM API sends for ignore_eos
BLOCK = 64  # tokens; a multiple of every size that a block of the KV cache can have by default


class TensorRTLLM(Engine):
    def load(self, job):
        shape = job["shape"]
        self.artefact, self.executor, self.opened = Path(job["model"]["artefact"]), None, None
        self.batch, self.tokens = shape["batch_size"], shape["prompt_tokens"] + shape["new_tokens"]
        self.greedy = trtllm.SamplingConfig(beam_width=1, top_k=1)
        built, gpu = self._json("built_for.json"), torch.cuda.get_device_name()
        if built != {"gpu": gpu, "tensorrt": tensorrt.__version__}:
            raise RuntimeError(f"this engine was built for {built}, and this is {gpu}: delete the artefact")
        self._open("engine", self.batch, self.tokens)
        return self._read_back(gpu)

    def _open(self, name, batch, tokens):
        """One engine is in memory at a time: the measured one, or the one that returns logits."""
        if self.opened == (name, tokens):
            return
        self.close()
        per_sequence = (tokens // BLOCK + 2) * BLOCK
        pool = trtllm.KvCacheConfig(enable_block_reuse=False, max_tokens=batch * per_sequence)
        config = trtllm.ExecutorConfig(max_beam_width=1, max_batch_size=batch)
        config.kv_cache_config = pool
        self.executor = trtllm.Executor(str(self.artefact / name), trtllm.ModelType.DECODER_ONLY, config)
        self.opened = (name, tokens)

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
                yield [row.popleft() for row in rows.values()]

    def logprobs(self, tokens):
        self._open("scoring", 1, len(tokens))
        self.executor.enqueue_request(self._request(tokens[:-1], 1, return_context_logits=True))
        ((result, _),) = self._results()
        vocabulary = self._json("config.json")["vocab_size"]  # the logits are padded
        return result.context_logits[:, :vocabulary].float().log_softmax(-1).cpu().numpy()

    def _request(self, prompt, new_tokens, streaming=False, **output):
        return trtllm.Request(
            input_token_ids=prompt, max_tokens=new_tokens, streaming=streaming, sampling_config=self.greedy,
            end_id=NEVER, output_config=trtllm.OutputConfig(**output),
        )  # fmt: skip

    def _results(self):
        for response in self.executor.await_responses(timeout=None):
            if response.has_error():
                raise RuntimeError(response.error_msg)
            yield response.result, response.request_id

    def close(self):
        if self.executor is not None:
            self.executor.shutdown()
        self.executor = self.opened = None

    def _json(self, name):
        return json.loads((self.artefact / name).read_text(encoding="utf-8"))

    def _read_back(self, gpu):
        """From the engine's own files: its executor tells nothing of its weights."""
        config = self._json("engine/config.json")
        model = config["pretrained_config"]
        weight_bytes = tensor_bytes(self.artefact / "rank0.safetensors")
        plan_bytes = (self.artefact / "engine" / "rank0.engine").stat().st_size
        if plan_bytes < 0.98 * weight_bytes:
            raise RuntimeError(f"the engine's {plan_bytes} bytes cannot hold the checkpoint's {weight_bytes}")
        quantization, dtype = model["quantization"], model["dtype"]
        return Loaded(
            version=tensorrt_llm.__version__,
            dtype=dtype,
            quantization=quantization["quant_algo"],
            weight_bytes=weight_bytes,
            kv_dtype=quantization["kv_cache_quant_algo"] or dtype,
            kv_bytes=kv_token_bytes(model, dtype) * (self.tokens - 1) * self.batch,
            extra={
                "tensorrt": tensorrt.__version__,
                "engine_bytes": plan_bytes,
                "plugins": config["build_config"]["plugin_config"],
                "device": gpu,
            },
        )


if __name__ == "__main__":
    main(TensorRTLLM)
