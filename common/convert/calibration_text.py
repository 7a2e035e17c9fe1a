"""The text that quantisers are calibrated with: the Python language reference.

Every Python ships it, and it does not overlap with the suite's quality text (SQLite's documentation).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from pydoc_data.topics import topics

SOURCE = "Python language reference (pydoc_data.topics)"


def text() -> str:
    """All of it, in a fixed order."""
    return "\n\n".join(topics[name] for name in sorted(topics))


def samples(checkpoint: Path, count: int, length: int) -> tuple[list[list[int]], str]:
    """(token ids [count][length] spread over the whole text, a description of their source).

    A model without tokenizer (synthetic weights) gets seeded random ids. Raises ValueError where the text is too short.
    """
    if not (checkpoint / "tokenizer.json").is_file():
        vocabulary = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["vocab_size"]
        draw = random.Random(0)
        return [[draw.randrange(vocabulary) for _ in range(length)] for _ in range(count)], "random ids, seed 0"
    from tokenizers import Tokenizer  # noqa: PLC0415 - only the images that convert have it

    ids = Tokenizer.from_file(str(checkpoint / "tokenizer.json")).encode(text(), add_special_tokens=False).ids
    step = (len(ids) - length) // max(1, count - 1)
    if step < 1:
        raise ValueError(f"the calibration text has {len(ids)} tokens: too few for {count} samples of {length}")
    return [ids[k * step : k * step + length] for k in range(count)], SOURCE
