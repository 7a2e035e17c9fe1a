"""A verified model."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Model:
    """A checkpoint, verified in this run."""

    name: str  # shown in tables: "tiny", "synthetic:llama-160m", "ORG/NAME@<12 digits>", or the directory's name
    path: Path  # HF-style checkpoint directory: config.json, *.safetensors, often tokenizer.json
    digest: str  # sha256 over the sorted manifest: the model's identity in every key and result
    manifest: dict[str, str]  # file name -> sha256
    synthetic: bool  # random weights: stamped "synthetic weights" in every table
    config: dict  # parsed config.json
