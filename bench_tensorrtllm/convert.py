"""HF checkpoint → TensorRT-LLM checkpoint → two engines for this GPU: `engine` and `scoring`.

`engine` is measured. `scoring` returns the logits of every prompt token, which would slow down the measured prefill.
settings: quantize (a QuantAlgo of TensorRT-LLM), compute (dtype of everything not quantised; default: the precision).
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # TF32 is not float32, and TensorRT picks its kernels while it builds

from common.contract import ConversionJob
from common.convert.artefact import main
from common.convert.calibration_text import text
from common.convert.tokenizer import require_text
from common.engine import Unsupported

LONGEST = 8192  # tokens of a sequence; the default is the model's own limit, which can be a hundred thousand
ROWS, ROW_CHARACTERS = 512, 2000  # of the calibration text; 512 rows are TensorRT-LLM's default


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    import tensorrt  # noqa: PLC0415 - takes half a minute, which --smoke saves
    import torch  # noqa: PLC0415
    from tensorrt_llm.builder import BuildConfig, build  # noqa: PLC0415
    from tensorrt_llm.mapping import Mapping  # noqa: PLC0415
    from tensorrt_llm.models.automodel import AutoModelForCausalLM  # noqa: PLC0415
    from tensorrt_llm.models.modeling_utils import QuantAlgo, QuantConfig  # noqa: PLC0415

    settings = job.settings
    algorithm = settings.get("quantize")
    quantization = QuantConfig(quant_algo=QuantAlgo(algorithm) if algorithm else None)
    dtype = settings.get("compute", job.precision)
    try:
        model_class = AutoModelForCausalLM.get_trtllm_model_class(str(checkpoint), False, None)
    except NotImplementedError as error:
        raise Unsupported(f"TensorRT-LLM has no engine for this architecture: {error}") from error
    shared = {"dtype": dtype, "mapping": Mapping(), "quant_config": quantization, "trust_remote_code": False}
    if quantization._requires_calibration:  # the condition of TensorRT-LLM's own loader
        require_text(checkpoint, algorithm)
        with tempfile.TemporaryDirectory() as text:
            write_text(Path(text))
            model_class.quantize(str(checkpoint), str(out), calib_dataset=text, calib_batches=ROWS, **shared)
    else:
        model_class.from_hugging_face(str(checkpoint), load_model_on_cpu=True, **shared).save_checkpoint(str(out))

    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    longest = min(LONGEST, config.get("max_position_embeddings") or LONGEST)
    # max_input_len: its default, 1024, would reject longer prompts.
    limits = {"max_input_len": longest, "max_seq_len": longest, "max_num_tokens": LONGEST}
    for name, more in (("engine", {}), ("scoring", {"max_batch_size": 1, "gather_context_logits": True})):
        (out / name).mkdir()
        build(model_class.from_checkpoint(str(out)), BuildConfig(**limits, **more)).save(str(out / name))
    built = {"gpu": torch.cuda.get_device_name(), "tensorrt": tensorrt.__version__}
    (out / "built_for.json").write_text(json.dumps(built), encoding="utf-8")


def write_text(folder: Path) -> None:
    """Write the calibration data set for modelopt: a column `text`."""
    content = " ".join(text().split())
    rows = [content[start : start + ROW_CHARACTERS] for start in range(0, len(content), ROW_CHARACTERS)][:ROWS]
    lines = [json.dumps({"text": row}) for row in rows]
    (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(convert)
