"""HF checkpoint → a GPTQ checkpoint, quantised by GPTQModel with calibration text.

settings: bits, group_size (-1: one scale per output channel). What it was calibrated on is in calibration.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# By default half the CPUs; with one its model loader fails: "requests 2 workers but parent 'cpu' only has 1".
os.environ["GPTQMODEL_CPU_WORKERS"] = str(max(2, int(os.environ.get("OMP_NUM_THREADS", "2"))))

from common.conversion import main

SAMPLES, LENGTH = 64, 256  # tokens: 16,384, more than the inputs of the widest layer of most models


def convert(checkpoint: Path, out: Path, job: dict) -> None:
    import torch  # noqa: PLC0415 - the environment above must be set first

    from bench_autogptq.extensions import load_extensions  # noqa: PLC0415

    torch.set_num_threads(job["threads"])
    load_extensions()
    from gptqmodel import GPTQModel, QuantizeConfig  # noqa: PLC0415

    settings = job["settings"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows, source = calibration(checkpoint)
    config = QuantizeConfig(
        bits=settings["bits"], group_size=settings["group_size"], sym=True, desc_act=False, offload_to_disk=False
    )
    checkpoint, out = checkpoint.resolve(), out.resolve()
    with contextlib.chdir(tempfile.gettempdir()):  # it writes a log into ./logs, which a read-only root refuses
        model = GPTQModel.load(str(checkpoint), config, device=device, trust_remote_code=False)
        log = model.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch_size=1)
        model.save(str(out))
    record = {
        "text": source,
        "samples": len(rows),
        "tokens_each": len(rows[0]),
        "device": device,
        "layers": sum(map(len, log.values())),
    }
    (out / "calibration.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def calibration(checkpoint: Path) -> tuple[list[list[int]], str]:
    """Token ids [samples][length], and what they are.

    The Python language reference: every Python brings it along, and it is none of the suite's quality text (SQLite's
    documentation). A model without tokenizer (synthetic weights) gets seeded random ids.
    """
    import random  # noqa: PLC0415
    from pydoc_data.topics import topics  # noqa: PLC0415

    from tokenizers import Tokenizer  # noqa: PLC0415

    if not (checkpoint / "tokenizer.json").is_file():
        vocabulary = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["vocab_size"]
        draw = random.Random(0)
        return [[draw.randrange(vocabulary) for _ in range(LENGTH)] for _ in range(SAMPLES)], "random ids, seed 0"
    text = "\n\n".join(topics[name] for name in sorted(topics))
    ids = Tokenizer.from_file(str(checkpoint / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    step = (len(ids) - LENGTH) // (SAMPLES - 1)  # spread over the whole text
    return [ids[k * step : k * step + LENGTH] for k in range(SAMPLES)], "Python language reference (pydoc_data.topics)"


if __name__ == "__main__":
    main(convert)
