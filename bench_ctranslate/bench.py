"""CTranslate2: `generate_batch` in the engine's own worker thread, whose callback delivers every step."""

from __future__ import annotations

import ctypes
from collections import deque
from queue import Empty, SimpleQueue

import ctranslate2
import numpy as np

from bench_ctranslate.loaded import PACKAGES, omp_threads, read_back
from common.engine import Engine, Unsupported
from common.launch import main
from common.tools.logits import log_softmax


class CTranslate2(Engine):
    def load(self, job):
        self.on_cpu = job.device.kind == "cpu"
        device, compute_type = "cpu" if self.on_cpu else "cuda", job.scheme
        if not self.on_cpu:
            # CTranslate2 opens libcublas.so.12 by name, and pip installs it outside the loader's search path.
            for library in sorted(PACKAGES.glob("nvidia/cublas/lib/libcublas*.so.12"), reverse=True):  # Lt first
                ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
        supported = ctranslate2.get_supported_compute_types(device)
        if compute_type not in supported:
            raise Unsupported(f"this {device} computes in {', '.join(sorted(supported))}, not in {compute_type}")
        artefact, self.vocabulary = job.model.artefact, job.model.vocab_size
        self.generator = ctranslate2.Generator(
            artefact, device=device, compute_type=compute_type, inter_threads=1, intra_threads=job.threads
        )
        threads = self._warm(job.shape.batch_size)
        return read_back(self.generator, artefact, threads)

    def generate(self, prompts, new_tokens):
        return self._steps(prompts, new_tokens)

    def logprobs(self, tokens):
        logits = self.generator.forward_batch([tokens[:-1]]).to(ctranslate2.DataType.float32)  # [1, tokens, vocab]
        if not self.on_cpu:
            logits = logits.to_device(ctranslate2.Device.cpu)
        return log_softmax(np.array(logits)[0, :, : self.vocabulary])  # a GPU may pad the vocabulary

    def close(self):
        # Joins the worker thread, which would abort the process if it held the callback at interpreter exit
        # ("terminate called without an active exception").
        del self.generator

    def _steps(self, prompts, new_tokens, inspect=None):
        """Yield ids [batch] per step; `inspect` is called in the worker thread after every step."""
        steps, rows = SimpleQueue(), [deque() for _ in prompts]

        def on_token(result):
            # By batch_id: the engine reorders batches of more than 16 rows, and rows with longer prompts begin later.
            rows[result.batch_id].append(result.token_id)
            if all(rows):
                steps.put([row.popleft() for row in rows])
                if inspect:
                    inspect()
            return False  # True would end the row

        running = self.generator.generate_batch(
            [[str(token) for token in prompt] for prompt in prompts],  # the vocabulary that convert.py wrote
            max_length=new_tokens,
            end_token=[],
            include_prompt_in_result=False,
            asynchronous=True,
            callback=on_token,
        )
        for _ in range(new_tokens):
            yield self._next(steps, running)
        for row in running:
            row.result()

    def _next(self, steps, running):
        while True:
            try:
                return steps.get(timeout=1)  # returns at once; the timeout detects a failed engine
            except Empty:
                if running[0].done():
                    running[0].result()  # raises the engine's error
                    raise RuntimeError("CTranslate2 ended before the last token") from None

    def _warm(self, batch):
        """Run two steps. Returns the OpenMP threads of the worker thread, which only that thread can query."""
        counts = []
        for _ in self._steps([[0, 0]] * batch, 2, lambda: counts.append(omp_threads() if self.on_cpu else None)):
            pass
        return counts[0]


if __name__ == "__main__":
    main(CTranslate2)
