"""Prompts as token ids, the same for every engine: a fixed list of questions, cut to exactly the requested length.

No two iterations of a launch share a prompt, so that a prefix cache cannot help. The choice is fixed, not seeded by
the run: results of two runs are comparable only if they did the same work (`workload_hash`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from orchestrator.base.errors import UserError
from orchestrator.models.model import Model

QUESTIONS = Path(__file__).with_name("texts") / "questions.txt"
RANDOM_SEED = 0
HASHED = 10  # iterations; every launch has prompts for more, since the longest warm-up alone takes ten
FIRST_ORDINARY_ID = 3  # the ids below are, in the usual vocabularies, those for unknown, begin and end


def make(model: Model, iterations: int, batch: int, length: int, text: str | None = None) -> list[list[list[int]]]:
    """Token ids [iterations][batch][length].

    With `text` every prompt is that text, at most `length` tokens long. A model without tokenizer.json (synthetic
    weights) gets seeded random ids. Raises UserError for a `text` that is empty or that no tokenizer can encode.
    """
    path = model.path / "tokenizer.json"
    if not path.is_file():
        if text is not None:
            raise UserError(f"--prompt needs a tokenizer, and {model.name} has none; leave --prompt away")
        return random_ids(model.config["vocab_size"], iterations, batch, length)
    tokenizer = Tokenizer.from_file(str(path))
    if text is not None:
        ids = tokenizer.encode(text, add_special_tokens=False).ids[:length]
        if not ids:
            raise UserError("--prompt is empty")
        return [[ids] * batch for _ in range(iterations)]
    question_ids = [tokenizer.encode(line + "\n", add_special_tokens=False).ids for line in questions()]

    def prompt(number: int) -> list[int]:
        # The number comes first, so that prompts differ from the start, also once the questions repeat.
        ids = tokenizer.encode(f"{number + 1}. ", add_special_tokens=False).ids
        position = number
        while len(ids) < length:
            ids += question_ids[position % len(question_ids)]
            position += 1
        return ids[:length]

    return [[prompt(number * batch + row) for row in range(batch)] for number in range(iterations)]


def questions() -> list[str]:
    """The fixed questions, in order."""
    return [line for line in QUESTIONS.read_text(encoding="utf-8").splitlines() if line]


def random_ids(vocabulary: int, iterations: int, batch: int, length: int) -> list[list[list[int]]]:
    """Seeded ids [iterations][batch][length], none below FIRST_ORDINARY_ID."""
    generator = np.random.Generator(np.random.PCG64(RANDOM_SEED))
    ids: list[list[list[int]]] = generator.integers(FIRST_ORDINARY_ID, vocabulary, (iterations, batch, length)).tolist()
    return ids


def workload_hash(model: Model, new_tokens: int, prompts: list[list[list[int]]]) -> str:
    """12 hex digits over model bytes, prompt ids and number of new tokens. Only rows of equal hash may share a table.

    The prompts of the first ten iterations stand for all: the profile decides how many follow, but not which.
    """
    work = json.dumps([model.digest, new_tokens, prompts[:HASHED]], separators=(",", ":"))
    return hashlib.sha256(work.encode()).hexdigest()[:12]
