"""HF checkpoint → EXL2, with ExLlamaV2's own converter and the calibration text that it ships. Needs the GPU.

settings: bits (weights of the layers, on average), head_bits (of the output matrix).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from common.contract import ConversionJob
from common.convert.artefact import main
from common.convert.tokenizer import require_text

LENGTH = 2048  # of a calibration row, the converter's default


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    require_text(checkpoint, "EXL2")
    # The converter reads beyond its rotary table, without a check, if rows exceed the model's context.
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    length = str(min(LENGTH, config.get("max_position_embeddings", LENGTH)))
    work = out.with_name("work")  # not in /tmp, which is in memory: it grows to the model's size
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "-m", "exllamav2.conversion.convert_exl2", "-i", str(checkpoint), "-o", str(work)]
    command += ["-cf", str(out), "-b", str(job.settings["bits"]), "-hb", str(job.settings["head_bits"])]
    command += ["-l", length, "-ml", length]
    try:
        subprocess.run(command, check=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not any(out.glob("*.safetensors")):  # the converter exits with 0 even if it rejects an argument
        raise RuntimeError("the converter wrote no weights")


if __name__ == "__main__":
    main(convert)
