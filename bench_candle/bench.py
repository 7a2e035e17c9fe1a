"""candle's own Llama models in the Rust program bench-candle (src/): a JSON line in, one JSON line per step out."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np

from bench_candle.loaded import read_back
from bench_candle.program import PROGRAM, failure
from common.engine import Engine, Unsupported
from common.launch import main
from common.tools.sizes import cached_tokens

QUANTISED_POSITIONS = 4096  # quantized_llama.rs: MAX_SEQ_LEN, the length of its rotary tables


class Candle(Engine):
    def load(self, job):
        self.vocabulary, positions = job.model.vocab_size, cached_tokens(job.shape)
        if job.precision in ("int8", "int4") and positions > QUANTISED_POSITIONS:
            raise Unsupported(
                f"candle's quantized_llama.rs has {QUANTISED_POSITIONS} positions; asked for: {positions}"
            )
        threads = str(job.threads)
        self.process = subprocess.Popen(
            [PROGRAM, "serve", job.model.artefact, job.precision, job.device.kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # rayon's pool multiplies floats; a second, spinning pool multiplies quantised weights
            env={**os.environ, "RAYON_NUM_THREADS": threads, "CANDLE_NUM_THREADS": threads},
        )
        return read_back(self._answer(), job)

    def generate(self, prompts, new_tokens):
        self._ask(prompts=prompts, new_tokens=new_tokens)
        for _ in range(new_tokens):
            yield self._answer()  # [batch]

    def logprobs(self, tokens):
        self._ask(score=tokens[:-1])
        size = (len(tokens) - 1) * self.vocabulary * 4
        raw = self.process.stdout.read(size)
        if len(raw) != size:
            raise RuntimeError(f"log-probabilities of {len(raw)} instead of {size} bytes: {raw[-300:]!r}")
        return np.frombuffer(raw, np.float32).reshape(-1, self.vocabulary)  # [tokens - 1, vocab]

    def close(self):
        self.process.stdin.close()  # the program exits at the end of its input
        self.process.wait()

    def _ask(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def _answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "bench-candle ended without an answer; see stderr.log"}
        if "error" in answer:
            raise failure(answer["error"])
        return answer


if __name__ == "__main__":
    main(Candle)
