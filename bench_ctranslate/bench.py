"""CTranslate2: `generate_batch`, run in the engine's own worker thread; its callback hands every step over."""

from __future__ import annotations

import ctypes
import struct
from collections import Counter, deque
from math import prod
from pathlib import Path
from queue import Empty, SimpleQueue

import ctranslate2
import numpy as np

from common.engine import Engine, Loaded, Unsupported
from common.launch import main
from common.tools.logits import log_softmax
from common.tools.sizes import DTYPE_BYTES

PACKAGES = Path(ctranslate2.__file__).parent.parent
DTYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # in the order of their numbers


class CTranslate2(Engine):
    def load(self, job):
        self.on_cpu = job["device"]["kind"] == "cpu"
        device, compute_type = "cpu" if self.on_cpu else "cuda", job["scheme"]
        if not self.on_cpu:
            # CTranslate2 opens libcublas.so.12 by its name, and pip puts it where the loader does not look.
            for library in sorted(PACKAGES.glob("nvidia/cublas/lib/libcublas*.so.12"), reverse=True):  # Lt first
                ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
        known = ctranslate2.get_supported_compute_types(device)
        if compute_type not in known:
            raise Unsupported(f"this {device} computes in {', '.join(sorted(known))}, not in {compute_type}")
        artefact, self.vocabulary = job["model"]["artefact"], job["model"]["vocab_size"]
        self.generator = ctranslate2.Generator(
            artefact, device=device, compute_type=compute_type, inter_threads=1, intra_threads=job["threads"]
        )
        held = stored(Path(artefact, "model.bin"))
        [(weights, _)] = held.most_common(1)
        # It converts weights of another type than it computes in as it loads them: the file would not be what is held.
        if not self.generator.compute_type.startswith(weights):
            raise ValueError(f"stored as {weights}, but computed in {self.generator.compute_type}")
        threads = self._warm(job["shape"]["batch_size"])
        dtype = self.generator.forward_batch([[0]]).dtype.name  # of the logits: what every layer passes on, and caches
        return Loaded(
            version=ctranslate2.__version__,
            dtype=dtype,
            quantization="int8" if "int8" in self.generator.compute_type else None,
            weight_bytes=sum(held.values()),
            threads=threads,
            kv_dtype=dtype,
            extra={"compute_type": self.generator.compute_type, "weight_bytes_by_dtype": dict(held)},
        )

    def _warm(self, batch):
        """Two steps. Returns the OpenMP threads of the engine's worker thread, which other threads cannot ask for."""
        found = sorted(PACKAGES.glob("ctranslate2.libs/libgomp*")) if self.on_cpu else []
        count = ctypes.CDLL(str(found[0])).omp_get_max_threads if found else lambda: None
        seen = []
        for _ in self._steps([[0, 0]] * batch, 2, lambda: seen.append(count())):
            pass
        return seen[0]

    def generate(self, prompts, new_tokens):
        return self._steps(prompts, new_tokens)

    def _steps(self, prompts, new_tokens, inspect=None):
        steps, rows = SimpleQueue(), [deque() for _ in prompts]

        def on_token(result):
            # By its number: the rows of a batch of more than 16 come in an order of the engine's own, and those with a
            # longer prompt than others begin later.
            rows[result.batch_id].append(result.token_id)
            if all(rows):
                steps.put([row.popleft() for row in rows])
                if inspect:
                    inspect()
            return False  # True would end the row

        running = self.generator.generate_batch(
            [[str(token) for token in prompt] for prompt in prompts],  # the strings that convert.py made
            max_length=new_tokens, end_token=[], include_prompt_in_result=False, asynchronous=True, callback=on_token,
        )  # fmt: skip
        for _ in range(new_tokens):
            yield self._next(steps, running)
        for row in running:
            row.result()

    def _next(self, steps, running):
        while True:
            try:
                return steps.get(timeout=1)  # wakes at once; the timeout is for an engine that failed
            except Empty:
                if running[0].done():
                    running[0].result()  # raises what happened
                    raise RuntimeError("CTranslate2 ended before the last token") from None

    def logprobs(self, tokens):
        logits = self.generator.forward_batch([tokens[:-1]]).to(ctranslate2.DataType.float32)
        if not self.on_cpu:
            logits = logits.to_device(ctranslate2.Device.cpu)
        logits = np.array(logits)[0, :, : self.vocabulary]  # a GPU may pad the vocabulary
        return log_softmax(logits)

    def close(self):
        # Joins the worker thread. One that still holds the callback when the interpreter ends aborts the process
        # ("terminate called without an active exception"), and the launch counts as crashed.
        del self.generator


def stored(path):
    """Bytes of the variables of a model.bin (version 6: ModelSpec._serialize in ctranslate2/specs) by dtype."""
    held = Counter()
    with path.open("rb") as file:

        def take(code):
            return struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0]

        version = take("I")
        if version != 6:
            raise ValueError(f"model.bin is of version {version}, not 6")
        file.seek(take("H") + 4, 1)  # specification's name and revision
        for _ in range(take("I")):
            file.seek(take("H"), 1)  # name
            shape = [take("I") for _ in range(take("B"))]
            dtype = DTYPES[take("B")]
            held[dtype] += (size := take("I"))
            if size != prod(shape) * DTYPE_BYTES[dtype]:
                raise ValueError(f"model.bin: {size} bytes for {shape} {dtype}")
            file.seek(size, 1)
    return held


if __name__ == "__main__":
    main(CTranslate2)
