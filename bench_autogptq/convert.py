"""HF checkpoint → a GPTQ checkpoint, quantised by GPTQModel with calibration text.

settings: bits, group_size (-1: one scale per output channel).
"""

from __future__ import annotations

from pathlib import Path

from bench_autogptq.quantise import quantise
from common.contract import ConversionJob
from common.convert.artefact import main

SAMPLES, LENGTH = 64, 256  # 16,384 tokens: more than most models' widest layer has inputs


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    config = {name: job.settings[name] for name in ("bits", "group_size")}
    quantise(checkpoint, out, job, SAMPLES, LENGTH, method="gptq", format="gptq", sym=True, desc_act=False, **config)


if __name__ == "__main__":
    main(convert)
