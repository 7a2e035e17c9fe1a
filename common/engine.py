"""What a contender must provide: load, generate, log-probabilities. It never times, counts or writes results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any


class Unsupported(Exception):
    """Raised by `load` where this engine cannot run this job here; the message is the reason that the tables show."""


@dataclass
class Loaded:
    """What was really loaded, read back from the engine - never copied from the request.

    version:       the engine's own version string
    dtype:         dtype in which the weights are held or computed: float32, bfloat16, float16
    quantization:  scheme of the quantised weights as the engine names it (q8_0, nf4, int8), None when there is none
    weight_bytes:  bytes of all weight tensors as held, quantised tensors with their scales
    threads:       compute threads that the engine reports, None on a GPU or where it does not say
    kv_dtype:      dtype of the KV cache, None where the engine does not say
    kv_bytes:      bytes of KV cache needed for this job's shape, None where unknown
    extra:         what else decides the numbers: attention kernel, compile mode, fallbacks of a quantiser
    """

    version: str
    dtype: str
    weight_bytes: int
    quantization: str | None = None
    threads: int | None = None
    kv_dtype: str | None = None
    kv_bytes: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The fields as result.json has them under "loaded"."""
        return asdict(self)


def dtype_name(dtype: Any) -> str:
    """A dtype's name without its library's: torch.bfloat16 is "bfloat16"."""
    return str(dtype).removeprefix("torch.")


class Engine:
    """Base class of every contender; `bench.py` subclasses it and ends in `common.main(TheSubclass)`."""

    streams = True
    """False where the engine returns its tokens only at the end: time to first token then takes a run of its own."""

    def load(self, job: dict[str, Any]) -> Loaded:
        """Load the artefact at job["model"]["artefact"] as job["precision"], job["scheme"] and job["settings"] say.

        Raises Unsupported where this engine cannot do it on this device; any other exception becomes `load_failed`.
        """
        raise NotImplementedError

    def generate(self, prompts: list[list[int]], new_tokens: int) -> Iterator[list[int]]:
        """Yield the next token id of every prompt, per decode step: `new_tokens` lists of len(prompts) ids.

        generate([[5, 6], [7, 8]], 3) may yield [1, 2], [3, 4], [5, 6]: [5, 6] continues as 1, 3, 5.
        Greedy, no prefix cache. The end-of-sequence token must neither stop nor be masked: `min_new_tokens` and its
        like suppress the token's logit and so change the output; remove the stop rule itself.
        """
        raise NotImplementedError

    def logprobs(self, tokens: list[int]):
        """Log-probabilities [len(tokens) - 1, vocab] float32: row i is the distribution after tokens[:i + 1].

        NotImplemented where the engine has none.
        """
        return NotImplemented

    def close(self) -> None:
        """Release what was loaded."""
