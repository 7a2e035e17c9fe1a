"""Prompts as token ids, the same for every engine: a fixed list of questions, cut to exactly the length asked for.

No two iterations of a launch share a prompt, so that no cache of prefixes can help. The choice is fixed, not seeded by
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
HASHED = 10  # every launch has more: the longest warm-up has ten
FIRST_ORDINARY_ID = 3  # below are, in the usual vocabularies, the ids for unknown, begin and end


def make(model: Model, iterations: int, batch: int, length: int, text: str | None = None) -> list[list[list[int]]]:
    """Token ids [iterations][batch][length].

    With `text` every prompt is that text, `length` tokens long at most (the older script's `--prompt`).
    A model without tokenizer.json (synthetic weights) gets seeded random ids. Raises UserError where the model is too
    short for the prompt or has no tokenizer for `text`.
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
    asked = [tokenizer.encode(line + "\n", add_special_tokens=False).ids for line in questions()]

    def cut(number: int) -> list[int]:
        # The number comes first, so that prompts differ early, also after the 40th.
        ids = tokenizer.encode(f"{number + 1}. ", add_special_tokens=False).ids
        position = number
        while len(ids) < length:
            ids += asked[position % len(asked)]
            position += 1
        return ids[:length]

    return [[cut(number * batch + row) for row in range(batch)] for number in range(iterations)]


def questions() -> list[str]:
    """The fixed questions, in order."""
    return [line for line in QUESTIONS.read_text(encoding="utf-8").splitlines() if line]


def random_ids(vocabulary: int, iterations: int, batch: int, length: int) -> list[list[list[int]]]:
    """Seeded ids [iterations][batch][length] without the first three, which are special in the usual vocabularies."""
    generator = np.random.Generator(np.random.PCG64(RANDOM_SEED))
    ids: list[list[list[int]]] = generator.integers(FIRST_ORDINARY_ID, vocabulary, (iterations, batch, length)).tolist()
    return ids


def workload_hash(model: Model, new_tokens: int, prompts: list[list[list[int]]]) -> str:
    """12 hex digits: same model bytes, prompt ids and number of new tokens. Only equal ones may share a table.

    The first ten iterations' prompts stand for all: how many follow depends on the profile, which ones does not.
    """
    work = json.dumps([model.digest, new_tokens, prompts[:HASHED]], separators=(",", ":"))
    return hashlib.sha256(work.encode()).hexdigest()[:12]
