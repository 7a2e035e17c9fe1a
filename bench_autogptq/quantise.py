"""HF checkpoint → a checkpoint that GPTQModel quantised with calibration text, by the requested method."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The default is half the CPUs; with one the model loader fails: "requests 2 workers but parent 'cpu' only has 1".
os.environ["GPTQMODEL_CPU_WORKERS"] = str(max(2, int(os.environ.get("OMP_NUM_THREADS", "2"))))

from common.contract import ConversionJob
from common.convert.calibration_text import samples
from common.convert.tokenizer import with_tokenizer


def quantise(
    checkpoint: Path, out: Path, job: ConversionJob, count: int, length: int, method: str, format: str, **config
) -> None:
    """Fill `out`, calibrated on `count` samples of `length` tokens, with a record of them in calibration.json.

    `method` and `format` as GPTQModel names them; `config`: the rest of its QuantizeConfig. On a GPU if there is one.
    """
    import torch  # noqa: PLC0415 - the environment above must be set first

    from bench_autogptq.extensions import load_extensions  # noqa: PLC0415

    torch.set_num_threads(job.threads)
    load_extensions()
    from gptqmodel import GPTQModel, QuantizeConfig  # noqa: PLC0415
    from gptqmodel.quantization import FORMAT, METHOD  # noqa: PLC0415

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows, source = samples(checkpoint, count, length)
    out = out.resolve()
    # GPTQModel rejects a model without tokenizer, and writes ./logs, which a read-only root does not allow.
    with with_tokenizer(checkpoint.resolve()) as complete, contextlib.chdir(tempfile.gettempdir()):
        scheme = QuantizeConfig(quant_method=METHOD(method), format=FORMAT(format), offload_to_disk=False, **config)
        model = GPTQModel.load(str(complete), scheme, device=device, trust_remote_code=False)
        log = model.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch_size=1)
        model.save(str(out))
    record = {
        "text": source,
        "samples": count,
        "tokens_each": length,
        "device": device,
        "layers": sum(map(len, log.values())),
    }
    (out / "calibration.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
