"""GPTQModel: a quantised transformers model whose linear layers are GPTQModel's kernels; its forward in a greedy loop.

settings: bits, group_size (see convert.py), backend (GPTQModel's name of the kernel, by device). Without `bits` the
checkpoint is loaded unquantised.
"""

from __future__ import annotations

import os
from collections import Counter

os.environ["GPTQMODEL_CPU_WORKERS"] = "2"  # its model loader fails on two CPUs with its own default of one
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when transformers is imported
import gptqmodel
import torch
from gptqmodel import BACKEND, GPTQModel
from gptqmodel.nn_modules.qlinear import BaseQuantLinear
from transformers import AutoModelForCausalLM

from bench_autogptq.extensions import load_extensions
from common.engine import Loaded, dtype_name
from common.launch import main
from common.transformers_model import TransformersEngine


class GPTQModelEngine(TransformersEngine):
    """For every folder that measures GPTQModel; `method` is what it calls the quantisation."""

    method = "gptq"

    def load(self, job):
        settings = job["settings"]
        self.prepare(job)
        kernels = load_extensions()
        dtype = getattr(torch, settings.get("compute", job["precision"]))
        path, device = job["model"]["artefact"], str(self.device)
        if "backend" in settings:
            backend = BACKEND(settings["backend"][self.device.type])
            self.model = GPTQModel.load(
                path, device=device, backend=backend, dtype=dtype, trust_remote_code=False
            ).model
        else:
            self.model = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
            ).to(device)
        self.model.eval().requires_grad_(False)
        torch.set_num_threads(job["threads"])  # after loading, which sets a count of its own
        self.warm(job["shape"]["batch_size"])
        return self._read_back(kernels)

    def _read_back(self, kernels):
        names = Counter()
        for layer in self.model.modules():
            if isinstance(layer, BaseQuantLinear):
                # gptq_torch_int8 drops the groups when it packs the weights.
                rounded = getattr(layer, "int8_module", None) is not None
                groups = "one scale per output channel" if rounded else f"groups of {layer.group_size}"
                names[f"{type(layer).__name__}, {layer.bits} bits, {groups}"] += 1
        plain = sum(type(layer) is torch.nn.Linear for layer in self.model.modules())
        held = self.held(tensors(self.model), names | Counter(plain=plain))
        held["extra"]["compiled_kernels"] = kernels
        return Loaded(
            version=gptqmodel.__version__,
            dtype=dtype_name(self.model.dtype),
            quantization="; ".join(f"{self.method} {name}" for name in sorted(names)) or None,
            **held,
        )


def tensors(model):
    """Every tensor that holds weights: packed ones with scales, zero points and group indices, tied ones once."""
    seen = set()
    for module in model.modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items(), *vars(module).items()]:
            if not isinstance(tensor, torch.Tensor) or "inv_freq" in name or tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            yield tensor


if __name__ == "__main__":
    main(GPTQModelEngine)
