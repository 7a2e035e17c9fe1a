"""candle's own Llama models in the Rust program bench-candle (src/): a JSON line in, one JSON line per step out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from common.engine import Engine, Loaded, Unsupported
from common.launch import main
from common.tools.sizes import cached_tokens, kv_token_bytes

PROGRAM = f"{sys.prefix}/bin/bench-candle"
FLOATS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
QUANTISED_POSITIONS = 4096  # quantized_llama.rs: MAX_SEQ_LEN, the length of its rotary tables


class Candle(Engine):
    def load(self, job):
        self.job, shape, on_cpu = job, job["shape"], job["device"]["kind"] == "cpu"
        capacity = cached_tokens(shape)
        if job["precision"] in ("int8", "int4") and capacity > QUANTISED_POSITIONS:
            raise Unsupported(f"candle's quantized_llama.rs has {QUANTISED_POSITIONS} positions; asked for: {capacity}")
        threads = str(job["threads"])
        self.process = subprocess.Popen(
            [PROGRAM, "serve", job["model"]["artefact"], job["precision"], job["device"]["kind"]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            # rayon multiplies floats; a second pool, of threads that spin, multiplies quantised weights
            env={**os.environ, "RAYON_NUM_THREADS": threads, "CANDLE_NUM_THREADS": threads},
        )  # fmt: skip
        facts = self._answer()
        held = {kind: size for kind, (size, _) in facts["weights"].items()}
        blocks = sorted(set(held) - set(FLOATS))
        floats = [FLOATS[kind] for kind in sorted(set(held) & set(FLOATS))]
        dtype = "float32" if blocks else "+".join(floats)  # activations and KV cache: of the weights' type, or float32
        # candle's cache is private, but it holds exactly the keys and values that the configuration describes.
        config = json.loads(Path(job["model"]["path"], "config.json").read_text(encoding="utf-8"))
        return Loaded(
            version=facts["version"],
            dtype=dtype,
            quantization="+".join(blocks) or None,
            weight_bytes=sum(held.values()),
            threads=max(facts["threads"].values()) if on_cpu else None,
            kv_dtype=dtype,
            kv_bytes=kv_token_bytes(config, dtype) * shape["batch_size"] * capacity,
            extra={
                "weights": facts["weights"],
                "thread_pools": facts["threads"],
                "attention": "plain matrix products",
            },
        )

    def _ask(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def _answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "bench-candle ended without an answer; see stderr.log"}
        if "error" in answer:
            raise failure(answer["error"])
        return answer

    def generate(self, prompts, new_tokens):
        self._ask(prompts=prompts, new_tokens=new_tokens)
        for _ in range(new_tokens):
            yield self._answer()

    def logprobs(self, tokens):
        vocabulary = self.job["model"]["vocab_size"]
        self._ask(score=tokens[:-1])
        size = (len(tokens) - 1) * vocabulary * 4
        raw = self.process.stdout.read(size)
        if len(raw) != size:
            raise RuntimeError(f"log-probabilities of {len(raw)} instead of {size} bytes: {raw[-300:]!r}")
        return np.frombuffer(raw, np.float32).reshape(-1, vocabulary)

    def close(self):
        self.process.stdin.close()  # the end of its requests ends it
        self.process.wait()


def failure(message):
    """The exception for what the program answers instead."""
    if message.startswith("unsupported: "):
        return Unsupported(message.removeprefix("unsupported: "))
    return RuntimeError(message)


if __name__ == "__main__":
    main(Candle)
