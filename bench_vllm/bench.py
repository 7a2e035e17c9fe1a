"""vLLM: its own LLMEngine inside this process, requests added as token ids, one `step()` per token.

settings: eager_on (devices without torch.compile and CUDA graphs), compute (dtype of what is not quantised; default:
the precision), tensor_parallel.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, deque
from pathlib import Path

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    # Else the engine runs in a process of its own, and every token's time holds a message between the two.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Its one-process "cluster" looks for this host's address; a container without network has only this one.
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}
import numpy as np
import torch
import vllm
from vllm import EngineArgs, SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.llm_engine import LLMEngine

from common.engine import Engine, Loaded, Unsupported, dtype_name
from common.launch import main
from common.tools.sizes import cached_tokens, kv_token_bytes

SPARE_TOKENS = 4096  # more than the blocks that are kept beside a batch's own, whatever their size


class VLLM(Engine):
    def load(self, job):
        settings, self.shape = job["settings"], job["shape"]
        refuse_gptq(Path(job["model"]["artefact"]))
        batch, prompt, new = (self.shape[name] for name in ("batch_size", "prompt_tokens", "new_tokens"))
        self.on_cpu, self.requests = job["device"]["kind"] == "cpu", 0
        asked = (
            [len(question) + job["ask"]["new_tokens"] for question in job["ask"]["prompts"]] if job.get("ask") else []
        )
        longest = max(prompt + new, *asked, *(len(tokens) + 1 for tokens in job.get("score", [])), 0)
        if self.on_cpu:
            torch.set_num_threads(job["threads"])  # before the engine, which then forbids it
        model_config = json.loads(Path(job["model"]["artefact"], "config.json").read_text(encoding="utf-8"))
        config = EngineArgs(
            model=job["model"]["artefact"],
            dtype=settings.get("compute", job["precision"]),  # "auto" loads a float32 checkpoint as bfloat16
            skip_tokenizer_init=True,
            enforce_eager=job["device"]["kind"] in settings.get("eager_on", []),
            tensor_parallel_size=settings.get("tensor_parallel", 1),
            enable_prefix_caching=False,
            max_model_len=longest,
            max_num_seqs=batch,
            max_num_batched_tokens=max(batch * prompt, longest),  # a whole batch's prompts in one step, in no chunks
            # Stock is 92 % of the memory. An upper bound, below which vLLM does not start; the blocks below decide.
            kv_cache_memory_bytes=2 * (batch * longest + SPARE_TOKENS) * kv_token_bytes(model_config, "float32"),
            disable_log_stats=True,
        ).create_engine_config()
        self.block = config.cache_config.block_size
        # vLLM keeps one block for itself, and a sliding window may begin within one more for each sequence.
        config.cache_config.num_gpu_blocks_override = batch * (-(-longest // self.block) + 1) + 1
        self.eager = config.model_config.enforce_eager
        self.engine = LLMEngine.from_vllm_config(config)
        return self._read_back(config)

    def _read_back(self, config):
        workers = self.engine.collective_rpc(inspect)  # one per GPU of a tensor-parallel group
        first, compilation = workers[0], config.compilation_config
        blocks = config.cache_config.num_gpu_blocks
        reserved = sum(worker["kv_bytes"] for worker in workers)
        tokens = self.shape["batch_size"] * cached_tokens(self.shape)
        return Loaded(
            version=vllm.__version__,
            dtype=first["dtype"],
            quantization="; ".join(first["schemes"]) or None,
            weight_bytes=sum(worker["weight_bytes"] for worker in workers),
            threads=first["threads"] if self.on_cpu else None,
            kv_dtype=first["kv_dtype"],
            kv_bytes=reserved // (blocks * self.block) * tokens,
            extra={
                "layers": first["layers"],
                "extra_copies_bytes": sum(worker["copy_bytes"] for worker in workers),
                "kv_pool": f"{blocks} blocks of {self.block} tokens, {reserved} bytes",
                "compilation": compilation.mode.name,
                "cuda_graphs": compilation.cudagraph_mode.name,
                "attention": first["attention"],
                "async_scheduling": config.scheduler_config.async_scheduling,
                "float32_matmul_precision": torch.get_float32_matmul_precision(),
                "torch": torch.__version__,
                "workers": len(workers),
            },
        )

    def generate(self, prompts, new_tokens):
        arrived = self._submit(prompts, max_tokens=new_tokens, output_kind=RequestOutputKind.DELTA)
        rows, engine = list(arrived.values()), self.engine
        while engine.has_unfinished_requests():
            for output in engine.step():
                arrived[output.request_id].extend(output.outputs[0].token_ids)
            while all(rows):
                yield [row.popleft() for row in rows]

    def _submit(self, prompts, **parameters):
        """Queue one greedy request per prompt. Returns an empty queue for each, by the request's name."""
        # ignore_eos drops the rule; min_tokens would mask the token and so change the output.
        sampling = SamplingParams(temperature=0, ignore_eos=True, detokenize=False, **parameters)
        self.requests += 1
        names = [f"{self.requests}-{row}" for row in range(len(prompts))]
        for name, prompt in zip(names, prompts, strict=True):
            self.engine.add_request(name, {"prompt_token_ids": prompt}, sampling)
        return {name: deque() for name in names}

    def logprobs(self, tokens):
        """From the logits behind prompt_logprobs: all log-probabilities would come as lists of Python objects."""
        models = self.engine.collective_rpc(lambda worker: worker.model_runner.model)
        if len(models) > 1:  # the other processes' logits are out of reach
            return NotImplemented
        model, logits = models[0], []
        compute = model.compute_logits

        def recording(*args, **kwargs):
            logits.append(compute(*args, **kwargs))
            return logits[-1]

        model.compute_logits = recording
        # vLLM compiles the function that ranks a prompt's tokens, for a minute; an eager engine need not wait for it.
        torch.compiler.set_stance("force_eager" if self.eager else "default")
        try:
            self._submit([tokens], max_tokens=1, prompt_logprobs=0)
            while self.engine.has_unfinished_requests():
                for output in self.engine.step():
                    own = [
                        entry[token].logprob
                        for entry, token in zip(output.prompt_logprobs[1:], tokens[1:], strict=True)
                    ]
        finally:
            del model.compute_logits
            torch.compiler.set_stance("default")
        # The first call was the sampler's, for the last position; then come the prompt's.
        values = torch.cat(logits[1:]).log_softmax(-1, dtype=torch.float32).cpu().numpy()
        if not np.allclose(values[range(len(own)), tokens[1:]], own, atol=1e-3):
            raise RuntimeError("the recorded logits do not give the log-probabilities that vLLM reports")
        return values


def refuse_gptq(artefact):
    """What vLLM's loader refuses of other people's GPTQ checkpoints (layers/quantization/auto_gptq.py), in words."""
    own = artefact / "quantize_config.json"
    found = json.loads((artefact / "config.json").read_text(encoding="utf-8")).get("quantization_config")
    if found is None and own.is_file():
        found = json.loads(own.read_text(encoding="utf-8"))
    if not found or found.get("quant_method", "gptq") != "gptq" or "bits" not in found:
        return
    if found.get("desc_act") and found.get("group_size") != -1:
        raise Unsupported("this vLLM takes no GPTQ checkpoint with desc_act: true (activation order) and groups")
    if not found.get("sym", True):
        raise Unsupported("this vLLM takes no asymmetric GPTQ checkpoint (sym: false)")


def inspect(worker):
    """What one worker holds. On a CPU vLLM hands most matrices to oneDNN, packed, and empties the parameter."""
    runner = worker.model_runner
    layers, schemes, packed, copies = Counter(), set(), 0, 0
    for layer in runner.model.modules():
        method = getattr(layer, "quant_method", None)
        scheme = getattr(layer, "scheme", None)  # of compressed-tensors; GPTQ's and AWQ's method is the scheme itself
        if scheme is None and getattr(method, "quant_config", None):
            scheme = method
        kernel = getattr(scheme, "kernel", None)
        if method:
            parts = (scheme or method, kernel) if kernel else (scheme or method,)
            layers[" ".join(type(part).__name__ for part in parts)] += 1
        if scheme:
            schemes.add(type(scheme).__name__)
        held = [cell.cell_contents for cell in getattr(getattr(layer, "cpu_linear", None), "__closure__", None) or ()]
        size = sum(_bytes(value, layer.weight.dtype.itemsize) for value in held)
        if size and layer.weight.numel():  # the embedding and the head keep their parameter as well
            copies += size
        else:
            packed += size
        packed += _bytes(getattr(kernel, "dnnl_handler", None), 1)  # int8
    parameters = dict(runner.model.named_parameters())
    plain = [p for name, p in parameters.items() if p.is_floating_point() and not re.search("scale|azp", name)]
    caches = {cache.data_ptr(): cache for cache in runner.kv_caches}.values()
    return {
        "dtype": "+".join(sorted({dtype_name(parameter.dtype) for parameter in plain})),
        "schemes": sorted(schemes),
        "layers": dict(layers),
        "weight_bytes": packed + sum(parameter.nbytes for parameter in parameters.values()),
        "copy_bytes": copies,
        "kv_bytes": sum(cache.nbytes for cache in caches),
        "kv_dtype": ", ".join(sorted({dtype_name(cache.dtype) for cache in caches})),
        "attention": sorted({type(m.impl).__name__ for m in runner.model.modules() if hasattr(m, "impl")}),
        "threads": torch.get_num_threads(),
    }


def _bytes(value, itemsize):
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return value.n * value.k * itemsize if hasattr(value, "handler_tensor") else 0


if __name__ == "__main__":
    main(VLLM)
