"""How much a variant's predictions differ from the float32 reference, on identical token ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from orchestrator import prompts
from orchestrator.models import Model
from orchestrator.paths import ROOT
from orchestrator.stats import percentile

TEXT = ROOT / "models" / "tiny" / "heldout.txt"
SEQUENCES, LENGTH = 8, 512  # predictions: 8 x 512, from 513 tokens each
ROWS_AT_ONCE = 128  # bounds the memory of a comparison: 128 x 128256 float64 are 131 MB
QUESTIONS, ANSWER_TOKENS = 5, 48


class BadLogprobs(Exception):
    """A file of log-probabilities is not what was asked for; the message names it."""


@dataclass(frozen=True)
class Exam:
    """What is asked of one launch of a variant. `is_text` is false for random ids, whose perplexity says nothing."""

    sequences: list[list[int]]
    questions: list[list[int]]
    question_texts: list[str]
    answer_tokens: int
    is_text: bool
    tokenizer: Path | None = None

    def texts(self, answers: list[list[int]] | None) -> list[str] | None:
        """Answers as text, None without answers or tokenizer."""
        if not answers or self.tokenizer is None:
            return None
        tokenizer = Tokenizer.from_file(str(self.tokenizer))
        return [tokenizer.decode(ids, skip_special_tokens=False) for ids in answers]


def exam(model: Model, prompt_tokens: int, new_tokens: int) -> Exam:
    """The held-out text in sequences of 513 tokens and five questions, under the model's own tokenizer.

    A model without tokenizer (synthetic weights) gets seeded random ids instead of the text, and no questions.
    Sequences and questions are cut to what the model and the workload's cache hold.
    """
    length = min(LENGTH + 1, model.config.get("max_position_embeddings") or LENGTH + 1)
    path = model.path / "tokenizer.json"
    if not path.is_file():
        ids = prompts.random_ids(model.config["vocab_size"], SEQUENCES, 1, length)
        return Exam([rows[0] for rows in ids], [], [], 0, False)
    tokenizer = Tokenizer.from_file(str(path))
    ids = tokenizer.encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False).ids
    sequences = [ids[start : start + length] for start in range(0, SEQUENCES * length, length)]
    texts = prompts.questions()[:QUESTIONS]
    asked = [tokenizer.encode(text + "\n", add_special_tokens=False).ids[:prompt_tokens] for text in texts]
    sequences = [each for each in sequences if len(each) > 1]
    return Exam(sequences, asked, texts, min(new_tokens, ANSWER_TOKENS), True, path)


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
