"""HF checkpoint → ONNX graph and genai_config.json, with ONNX Runtime GenAI's own model builder."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import onnxruntime_genai as og

from common.conversion import main

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


def convert(checkpoint: Path, out: Path, job: dict) -> None:
    device = "cuda" if og.is_cuda_available() else "cpu"  # what the package was built for; no device is needed here
    with tempfile.TemporaryDirectory() as folder:
        source, cache = Path(folder, "checkpoint"), Path(folder, "cache")
        source.mkdir()
        for path in checkpoint.iterdir():
            (source / path.name).symlink_to(path.resolve())
        if not any((checkpoint / name).exists() for name in TOKENIZERS):
            stand_in_tokenizer(source)
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source), "-o", str(out)]
        subprocess.run([*command, "-p", job["artefact"], "-e", device, "-c", str(cache)], check=True)


def stand_in_tokenizer(folder: Path) -> None:
    """The builder copies the tokenizer and stops where there is none; the suite feeds token ids, so any will do."""
    from tokenizers import Tokenizer, models  # noqa: PLC0415

    Tokenizer(models.WordLevel({"?": 0}, unk_token="?")).save(str(folder / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}
    (folder / "tokenizer_config.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(convert)
