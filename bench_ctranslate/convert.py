"""HF checkpoint → model.bin, with CTranslate2's own converter and quantiser, in the type to be loaded."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when transformers is imported
from common.contract import ConversionJob
from common.convert.artefact import main
from common.engine import Unsupported


class Numbers:
    """Replaces the tokenizer: every token is its id in decimal.

    CTranslate2 takes token strings, the suite feeds ids, and a synthetic model has no tokenizer. A real tokenizer's
    strings do not always map back: ids without a token shift all later ones, and two ids may share a string.
    """

    bos_token = eos_token = unk_token = "0"  # any token of the model: none of the three is used

    def __init__(self, size: int):
        self.size = size

    def get_vocab(self) -> dict[str, int]:
        return {str(token): token for token in range(self.size)}


def convert(checkpoint: Path, out: Path, job: ConversionJob) -> None:
    from ctranslate2.converters import TransformersConverter  # noqa: PLC0415 - torch takes seconds to import
    from ctranslate2.converters.transformers import _MODEL_LOADERS  # noqa: PLC0415
    from transformers import AutoConfig  # noqa: PLC0415

    class Converter(TransformersConverter):
        def load_tokenizer(self, *_, **__):
            return Numbers(job.model.vocab_size)

    kind = type(AutoConfig.from_pretrained(checkpoint)).__name__
    if kind not in _MODEL_LOADERS:
        raise Unsupported(f"CTranslate2's converter does not know the architecture of {kind}")
    # force: `out` already exists, empty.
    Converter(str(checkpoint)).convert(str(out), quantization=job.scheme, force=True)


if __name__ == "__main__":
    main(convert)
