"""HF checkpoint → compressed-tensors checkpoint: W8A8, float8 or W4A16, rounded to nearest, without calibration data.

Uses the presets of the package with which vLLM reads the format.
"""

from __future__ import annotations

from pathlib import Path

from common.contract import ConversionJob
from common.convert.artefact import main
from common.engine import Unsupported

PRESETS = {
    "w8a8": ("W8A8", "int-quantized"),
    "fp8": ("FP8_DYNAMIC", "float-quantized"),
    "w4a16": ("W4A16", "pack-quantized"),
}


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    import torch  # noqa: PLC0415 - takes seconds, which --smoke saves
    from compressed_tensors.compressors import ModelCompressor  # noqa: PLC0415
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config  # noqa: PLC0415
    from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme  # noqa: PLC0415
    from compressed_tensors.quantization.utils import calculate_qparams  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    if job.scheme not in PRESETS:
        raise Unsupported(f"bench_vllm has no scheme {job.scheme!r}; it has {', '.join(PRESETS)}")
    compute = getattr(torch, job.settings["compute"])
    preset, form = PRESETS[job.scheme]
    scheme = preset_name_to_scheme(preset, ["Linear"])
    # Without a format the checkpoint says "fakequant", which vLLM does not treat as quantised.
    config = QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"], format=form)
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    apply_quantization_config(model, config)
    for layer in model.modules():
        if hasattr(layer, "quantization_scheme"):
            rows = layer.weight.detach().unflatten(1, (-1, scheme.weights.group_size or layer.weight.shape[1]))
            scale, _ = calculate_qparams(rows.amin(-1), rows.amax(-1), scheme.weights)
            layer.weight_scale.data.copy_(scale.to(compute))  # the weights are divided by the rounded scale
    compressor = ModelCompressor(quantization_config=config)
    compressor.compress_model(model)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype == torch.float32:  # model.to(compute) would widen float8 again
            tensor.data = tensor.data.to(compute)
    model.save_pretrained(out)
    compressor.update_config(out)


if __name__ == "__main__":
    main(convert)
