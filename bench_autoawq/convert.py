"""HF checkpoint → an AWQ checkpoint in AutoAWQ's layout, quantised by GPTQModel with calibration text.

settings: group_size.
"""

from __future__ import annotations

from pathlib import Path

from bench_autogptq.quantise import quantise
from common.contract import ConversionJob
from common.convert.artefact import main

SAMPLES, LENGTH = 16, 128  # few: AWQ tries 20 scales per layer; 160 M parameters took 7 minutes on two busy cores


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    config = {"bits": 4, "group_size": job.settings["group_size"], "sym": False}
    quantise(checkpoint, out, job, SAMPLES, LENGTH, method="awq", format="gemm", **config)


if __name__ == "__main__":
    main(convert)
