"""A stand-in for the tokenizer that a synthetic model lacks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


@contextmanager
def with_tokenizer(checkpoint: Path) -> Iterator[Path]:
    """The checkpoint, or a folder of links to its files with a one-word tokenizer, for as long as the context lasts.

    Some converters copy the tokenizer and stop where there is none. The suite feeds token ids, so any will do.
    """
    if any((checkpoint / name).exists() for name in TOKENIZERS):
        yield checkpoint
        return
    from tokenizers import Tokenizer, models  # noqa: PLC0415 - of the engines' images, only the converting ones have it

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for path in checkpoint.iterdir():
            (place / path.name).symlink_to(path.resolve())
        Tokenizer(models.WordLevel({"?": 0}, unk_token="?")).save(str(place / "tokenizer.json"))
        content = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}
        (place / "tokenizer_config.json").write_text(json.dumps(content), encoding="utf-8")
        yield place
