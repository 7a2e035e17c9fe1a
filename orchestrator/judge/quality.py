"""How much a variant's predictions differ from the float32 reference, on identical token ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.base.stats import percentile

ROWS_AT_ONCE = 128  # bounds the memory of a comparison: 128 x 128256 float64 are 131 MB


class BadLogprobs(Exception):
    """A file of log-probabilities is not what was asked for; the message names it."""


def read_logprobs(path: Path, rows: int, vocabulary: int) -> np.ndarray:
    """Log-probabilities [rows, vocabulary] float32, mapped, not read. Raises BadLogprobs."""
    if path.is_symlink() or not path.is_file():
        raise BadLogprobs(f"{path.name} is missing")
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BadLogprobs(f"{path.name}: {error}") from error
    if values.dtype != np.float32 or values.ndim != 2 or values.shape[0] != rows or values.shape[1] < vocabulary:
        raise BadLogprobs(f"{path.name} holds {values.dtype} {values.shape}, not float32 ({rows}, {vocabulary})")
    return values[:, :vocabulary]  # an engine may pad its vocabulary


def compare(
    reference: list[np.ndarray], engine: list[np.ndarray], sequences: list[list[int]], is_text: bool
) -> dict[str, Any]:
    """Teacher-forced quality against the reference: arrays of log-probabilities [len(sequence) - 1, vocabulary] each.

    kl:          mean over positions of KL(reference || engine) in nats, kl_p99 its 99th percentile
    top1:        share of positions whose most probable token is the reference's
    perplexity:  exp of the mean negative log-probability of the text's own next token; None unless `is_text`
    Raises BadLogprobs where a row is not normalised or not finite.
    """
    divergences: list[float] = []
    same = 0
    own: dict[str, list[float]] = {"engine": [], "reference": []}
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
            own["reference"] += p[picked].tolist()
            own["engine"] += q[picked].tolist()
    return {
        "tokens": len(divergences),
        "kl": float(np.mean(divergences)),
        "kl_p99": percentile(divergences, 0.99),
        "top1": same / len(divergences),
        "perplexity": float(np.exp(-np.mean(own["engine"]))) if is_text else None,
        "reference_perplexity": float(np.exp(-np.mean(own["reference"]))) if is_text else None,
    }


def greedy_match(reference: list[list[int]], generated: list[list[int]]) -> float:
    """Mean share of generated tokens before the first one that differs from the reference's."""
    shares = []
    for expected, actual in zip(reference, generated, strict=True):
        first = next((t for t, (a, b) in enumerate(zip(expected, actual, strict=True)) if a != b), len(expected))
        shares.append(first / len(expected))
    return sum(shares) / len(shares)
