"""Lists the tensors that an engine loads, on the host, from the files' headers, without reading the data.

The files come from an engine's converter and are not trusted.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.models.formats import ctranslate2, gguf, onnx_graph, safetensors_files
from orchestrator.models.formats.binary import Tensor, UnreadableArtefact

FORMATS = (gguf, ctranslate2, onnx_graph, safetensors_files)


def read_artefact(directory: Path) -> list[Tensor]:
    """The tensors of the model in `directory`: GGUF, CTranslate2, ONNX or safetensors; its own level only.

    Raises UnreadableArtefact for damaged or inconsistent files, and unless they have exactly one known format.
    """
    try:
        formats = [module for module in FORMATS if module.present(directory)]
        if len(formats) != 1:
            names = " and ".join(module.SOURCE for module in formats) or "no file of a known format"
            raise UnreadableArtefact(directory, f"has {names}: one model is expected")
        return formats[0].read(directory)
    except OSError as error:
        raise UnreadableArtefact(directory, f"cannot be read: {error}") from None
