"""How much a variant's predictions differ from the float32 reference, on identical token ids.

p is the reference's distribution after a prefix of the text, q the engine's, x the text's own next token:

    kl          = mean over positions of sum over v of p(v) (log p(v) - log q(v)), in nats
    top1        = share of positions with argmax p = argmax q
    perplexity  = exp(-mean over positions of log q(x))
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.base.stats import percentile

ROWS_AT_ONCE = 128  # bounds the memory of a comparison: 128 x 128256 float64 are 131 MB


class BadLogprobs(Exception):
    """A file of log-probabilities is missing or invalid; the message names it."""


def read_logprobs(path: Path, rows: int, vocabulary: int) -> np.ndarray:
    """Log-probabilities [rows, vocabulary] float32 of one file, mapped, not read; columns beyond `vocabulary` are cut.

    Raises BadLogprobs for a file that is missing, a link, no array, or one of another dtype or shape.
    """
    if path.is_symlink() or not path.is_file():
        raise BadLogprobs(f"{path.name} is missing")
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BadLogprobs(f"{path.name}: {error}") from error
    if values.dtype != np.float32 or values.ndim != 2 or values.shape[0] != rows or values.shape[1] < vocabulary:
        raise BadLogprobs(f"{path.name} holds {values.dtype} {values.shape}, not float32 ({rows}, {vocabulary})")
    cut: np.ndarray = values[:, :vocabulary]  # an engine may pad its vocabulary
    return cut


def compare(
    reference: list[np.ndarray], engine: list[np.ndarray], sequences: list[list[int]], is_text: bool
) -> dict[str, Any]:
    """Teacher-forced quality against the reference, over all positions of all `sequences`.

    reference, engine:  log-probabilities [len(sequence) - 1, vocabulary] of each sequence; row i follows token i

    Returns "tokens" (positions), "kl" and its 99th percentile "kl_p99" [nats], "top1" [share], "perplexity" and
    "reference_perplexity" (None unless `is_text`: random ids have none). Raises BadLogprobs where a row of the
    engine's is not finite or does not sum to 1 within 1 %.
    """
    divergences: list[float] = []
    same = 0
    of_text: dict[str, list[float]] = {"engine": [], "reference": []}  # log-probabilities of the text's own tokens
    for expected, actual, tokens in zip(reference, engine, sequences, strict=True):
        following = np.asarray(tokens[1:])
        for start in range(0, len(following), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            p, q = expected[rows].astype(np.float64), actual[rows].astype(np.float64)
            if not np.isfinite(q).all() or abs(np.exp(q).sum(axis=1) - 1).max() > 0.01:
                raise BadLogprobs(f"log-probabilities from position {start} on are not those of a distribution")
            divergences += np.maximum(0, (np.exp(p) * (p - q)).sum(axis=1)).tolist()
            same += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
            picked = np.arange(len(p)), following[rows]
            of_text["reference"] += p[picked].tolist()
            of_text["engine"] += q[picked].tolist()
    return {
        "tokens": len(divergences),
        "kl": float(np.mean(divergences)),
        "kl_p99": percentile(divergences, 0.99),
        "top1": same / len(divergences),
        "perplexity": float(np.exp(-np.mean(of_text["engine"]))) if is_text else None,
        "reference_perplexity": float(np.exp(-np.mean(of_text["reference"]))) if is_text else None,
    }


def greedy_match(reference: list[list[int]], generated: list[list[int]]) -> float:
    """Mean over sequences of (tokens before the first that differs from the reference's) / (tokens): 1 if identical.

    Both are [sequences][steps]. Raises ValueError if their shapes differ.
    """
    shares = []
    for expected, actual in zip(reference, generated, strict=True):
        first = next((t for t, (a, b) in enumerate(zip(expected, actual, strict=True)) if a != b), len(expected))
        shares.append(first / len(expected))
    return sum(shares) / len(shares)
