"""Names of quantised formats, as their users write them: `gguf-q4_k_m`, `gptq-int4-g128`, `awq-g64`, `exl2-4.65bpw`.

A name is a promise about the files; `mismatch` holds a checkpoint to it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.models.formats import gguf

FORM = re.compile(
    r"(?P<gguf>gguf)-(?P<type>[a-z0-9_]+)|(?P<gptq>gptq)-int(?P<bits>[2-8])-g(?P<group>\d+)"
    r"|(?P<awq>awq)-g(?P<awq_group>\d+)|(?P<exl2>exl2)-(?P<bpw>\d+(\.\d+)?)bpw"
)
EXPECTED = "gguf-<type>, gptq-int<bits>-g<group size>, awq-g<group size> or exl2-<bits>bpw"
CONFIGS = ("quantize_config.json", "quant_config.json")  # of GPTQ and AWQ; newer files have it in config.json
BPW_TOLERANCE = 0.05  # bits per weight: a repository's name rounds what its converter was asked for

# general.file_type of a GGUF: enum llama_ftype of llama.cpp's include/llama.h, LLAMA_FTYPE_MOSTLY_<name>.
FILE_TYPES = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m",
    13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 25: "iq4_nl", 30: "iq4_xs",
    32: "bf16",
}  # fmt: skip


@dataclass(frozen=True)
class Scheme:
    """One format with its parameters. `kind` is gguf, gptq, awq or exl2; what does not apply is None."""

    kind: str
    type: str | None = None
    bits: float | None = None
    group: int | None = None


def parse(name: str) -> Scheme | None:
    """The scheme that `name` names, None where it is of no known form."""
    found = FORM.fullmatch(name)
    if not found:
        return None
    if found["gguf"]:
        return Scheme("gguf", type=found["type"])
    if found["gptq"]:
        return Scheme("gptq", bits=int(found["bits"]), group=int(found["group"]))
    if found["awq"]:
        return Scheme("awq", bits=4, group=int(found["awq_group"]))
    return Scheme("exl2", bits=float(found["bpw"]))


def mismatch(name: str, place: Path) -> str | None:
    """How the checkpoint (a GGUF file, or a directory) breaks the promise of its scheme `name`, None if it keeps it.

    Raises tensors.Unreadable for a GGUF file that is damaged or lies.
    """
    scheme = parse(name)
    return _gguf(scheme, place) if scheme.kind == "gguf" else _safetensors(scheme, place)


def _gguf(scheme: Scheme, path: Path) -> str | None:
    """By general.file_type; a file without one by the type in which most bytes of its layers are stored."""
    number = gguf.metadata(path, ("general.file_type",)).get("general.file_type")
    if number is not None:
        actual = FILE_TYPES.get(number, f"of file type {number}")
    else:
        held: dict[str, int] = {}
        for tensor in gguf.tensors(path):
            if tensor.name.startswith("blk.") and len(tensor.shape) > 1:
                held[tensor.dtype.lower()] = held.get(tensor.dtype.lower(), 0) + tensor.nbytes
        actual = max(held, key=held.get, default="nothing")
        if re.fullmatch(rf"{actual}(_[sml])?", scheme.type):  # q4_k_s, q4_k_m and q4_k_l are told apart by no tensor
            return None
    return None if actual == scheme.type else f"its weights are {actual}, not {scheme.type}"


def _safetensors(scheme: Scheme, folder: Path) -> str | None:
    found = quantization_config(folder)
    if not found:
        return f"it has no quantization_config in config.json, nor {' or '.join(CONFIGS)}: it is not quantised"
    method = str(found.get("quant_method", found.get("checkpoint_format", "gptq" if "desc_act" in found else "awq")))
    if method.lower() != scheme.kind:
        return f"its quantization_config says {method}, not {scheme.kind}"
    bits = found.get("bits", found.get("w_bit"))
    tolerance = BPW_TOLERANCE if scheme.kind == "exl2" else 0
    if not isinstance(bits, (int, float)) or abs(bits - scheme.bits) > tolerance:
        return f"its quantization_config says {bits} bits, not {scheme.bits:g}"
    group = found.get("group_size", found.get("q_group_size"))
    if scheme.group is not None and group != scheme.group:
        return f"its quantization_config says group size {group}, not {scheme.group}"
    return None


def quantization_config(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of how it was quantised, from config.json or a file of its own; {} where nothing does."""
    found = _json(folder / "config.json").get("quantization_config")
    return found if isinstance(found, dict) else next(filter(None, (_json(folder / name) for name in CONFIGS)), {})


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
