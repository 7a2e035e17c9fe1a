"""HF checkpoint → ONNX graph and genai_config.json, with ONNX Runtime GenAI's own model builder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnxruntime_genai as og

from common.contract import ConversionJob
from common.convert.artefact import main
from common.convert.tokenizer import with_tokenizer


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    device = "cuda" if og.is_cuda_available() else "cpu"  # the package's target; converting needs no device
    with with_tokenizer(checkpoint) as source, tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source), "-o", str(out)]
        subprocess.run([*command, "-p", job.artefact, "-e", device, "-c", cache], check=True)


if __name__ == "__main__":
    main(convert)
