"""The tensors of what an engine loads, listed on the host from the files' headers, without loading their data.

An engine's converter wrote these files: nothing in them is taken on trust.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.models.formats import ctranslate2, gguf, onnx_graph, safetensors_files
from orchestrator.models.formats.binary import Tensor, UnreadableArtefact

FORMATS = (gguf, ctranslate2, onnx_graph, safetensors_files)


def read_artefact(directory: Path) -> list[Tensor]:
    """The tensors of the model in `directory`: GGUF, CTranslate2, ONNX or safetensors; its own level only.

    Raises Unreadable: files that are damaged or lie, none of a known format, or several, so that the loaded one is
    not known.
    """
    try:
        found = [module for module in FORMATS if module.present(directory)]
        if len(found) != 1:
            names = " and ".join(module.SOURCE for module in found) or "no file of a known format"
            raise UnreadableArtefact(directory, f"has {names}: one model is expected")
        return found[0].read(directory)
    except OSError as error:
        raise UnreadableArtefact(directory, f"cannot be read: {error}") from None
