"""Whether a checkpoint has a tokenizer, and a stand-in for one that has none (synthetic weights)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.engine import Unsupported

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "spiece.model")
CONFIG = "tokenizer_config.json"


def has_tokenizer(checkpoint: Path) -> bool:
    """True where any file holds a vocabulary."""
    return any((checkpoint / name).exists() for name in VOCABULARIES)


def require_text(checkpoint: Path, scheme: str) -> None:
    """Raises Unsupported where the converter of `scheme` calibrates with text that it could not tokenize."""
    if not (checkpoint / "tokenizer.json").is_file():
        raise Unsupported(f"{scheme} is calibrated with text, and this model has no tokenizer.json")


@contextmanager
def with_tokenizer(checkpoint: Path) -> Iterator[Path]:
    """The checkpoint, or for as long as the context lasts a folder of links to its files and a one-word tokenizer.

    Some converters copy the tokenizer and fail without one. The suite feeds token ids, so any tokenizer will do.
    """
    if has_tokenizer(checkpoint):
        yield checkpoint
        return
    from tokenizers import Tokenizer, models  # noqa: PLC0415 - only the images that convert have it

    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for path in checkpoint.iterdir():
            if path.name != CONFIG:  # written below: a link would be written through, into the checkpoint
                (folder / path.name).symlink_to(path.resolve())
        Tokenizer(models.WordLevel({"?": 0}, unk_token="?")).save(str(folder / "tokenizer.json"))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}
        (folder / CONFIG).write_text(json.dumps(settings), encoding="utf-8")
        yield folder
