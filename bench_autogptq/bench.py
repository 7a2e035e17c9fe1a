"""GPTQModel: a quantised transformers model with GPTQModel's kernels as linear layers; its forward in a greedy loop.

settings: bits, group_size (see convert.py), backend (GPTQModel's name of the kernel, by device). Without `bits` the
checkpoint is loaded unquantised.
"""

from __future__ import annotations

import os

os.environ["GPTQMODEL_CPU_WORKERS"] = "2"  # its default on two CPUs, one, makes its model loader fail
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when transformers is imported
import torch
from gptqmodel import BACKEND, GPTQModel
from transformers import AutoModelForCausalLM

from bench_autogptq.extensions import load_extensions
from bench_autogptq.loaded import read_back
from common.launch import main
from common.transformers_model import TransformersEngine


class GPTQModelEngine(TransformersEngine):
    """Base of the folders that measure GPTQModel; generate and logprobs are TransformersEngine's."""

    method = "gptq"
    """What GPTQModel calls the quantisation."""

    def load(self, job):
        settings = job.settings
        self.prepare(job)
        kernels = load_extensions()
        dtype = getattr(torch, settings.get("compute", job.precision))
        path, device = job.model.artefact, str(self.device)
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
        torch.set_num_threads(job.threads)  # after loading, which sets its own count
        self.warm(job.shape.batch_size)
        return read_back(self, self.method, kernels)


if __name__ == "__main__":
    main(GPTQModelEngine)
