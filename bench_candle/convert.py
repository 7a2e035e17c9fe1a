"""HF checkpoint → model.gguf, by `bench-candle convert` (src/convert.rs): candle's own quantiser and GGUF writer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench_candle.program import PROGRAM, failure
from common.contract import ConversionJob
from common.convert.artefact import main


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    command = [PROGRAM, "convert", str(checkpoint), str(out / "model.gguf"), job.scheme]
    process = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if process.returncode:
        raise failure(json.loads(process.stdout or '{"error": "bench-candle convert died"}')["error"])


if __name__ == "__main__":
    main(convert)
