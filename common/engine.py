"""What a contender must provide: load, generate, log-probabilities. It never times, counts or writes results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from common.contract import Job, Loaded

__all__ = ["Engine", "Loaded", "Unsupported", "dtype_name"]


class Unsupported(Exception):
    """Raised by `load` where this engine cannot run this job here; the message is the reason that the tables show."""


def dtype_name(dtype: Any) -> str:
    """A dtype's name without its library's: torch.bfloat16 is "bfloat16"."""
    return str(dtype).removeprefix("torch.")


class Engine:
    """Base class of every contender; `bench.py` subclasses it and ends in `common.main(TheSubclass)`."""

    streams = True
    """False where the engine returns its tokens only at the end: time to first token then takes a run of its own."""

    def load(self, job: Job) -> Loaded:
        """Load the artefact at job.model.artefact as job.precision, job.scheme and job.settings say.

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
