"""What a contender must provide. It loads, generates and says what it loaded; it never times, counts or writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from common.contract import Job, Loaded

__all__ = ["Engine", "Loaded", "Unsupported", "dtype_name"]


class Unsupported(Exception):
    """Raised by `load` when this engine cannot run this job here; the message is the reason shown in the tables."""


def dtype_name(dtype: Any) -> str:
    """ "bfloat16" of torch.bfloat16."""
    return str(dtype).removeprefix("torch.")


class Engine:
    """Base class of every contender; `bench.py` subclasses it and ends in `common.main(TheSubclass)`."""

    streams = True
    """False when the engine hands over its tokens only at the end: time to first token is then a run of its own."""

    def load(self, job: Job) -> Loaded:
        """Load the artefact at job.model.artefact as job.precision, job.scheme and job.settings ask.

        Raises Unsupported when this engine cannot do it on this device; any other exception is `load_failed`.
        """
        raise NotImplementedError

    def generate(self, prompts: list[list[int]], new_tokens: int) -> Iterator[list[int]]:
        """Yield, per decode step, the next token id of every prompt in the batch: `new_tokens` lists of len(prompts).

        Greedy, no prefix cache. The end-of-sequence token must neither stop nor be masked: `min_new_tokens` and its
        kin suppress the token's logit and so change the output; drop the stop rule itself.
        """
        raise NotImplementedError

    def logprobs(self, tokens: list[int]):
        """Log-probabilities [len(tokens) - 1, vocab] float32 of the next token at each position, or NotImplemented."""
        return NotImplemented

    def close(self) -> None:
        """Release what was loaded."""
