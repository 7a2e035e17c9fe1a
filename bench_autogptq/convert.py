"""HF checkpoint → a GPTQ checkpoint, quantised by GPTQModel with calibration text.

settings: bits, group_size (-1: one scale per output channel).
"""

from __future__ import annotations

from pathlib import Path

from bench_autogptq.quantise import quantise
from common.contract import ConversionJob
from common.convert.artefact import main

SAMPLES, LENGTH = 64, 256  # tokens: 16,384, more than the inputs of the widest layer of most models


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    how = {name: job.settings[name] for name in ("bits", "group_size")}
    quantise(checkpoint, out, job, SAMPLES, LENGTH, method="gptq", format="gptq", sym=True, desc_act=False, **how)


if __name__ == "__main__":
    main(convert)
