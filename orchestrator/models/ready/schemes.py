"""Names of quantised formats, in common notation: `gguf-q4_k_m`, `gptq-int4-g128`, `awq-g64`, `exl2-4.65bpw`.

`mismatch` checks a checkpoint against its name.
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
CONFIGS = ("quantize_config.json", "quant_config.json")  # of GPTQ and AWQ; newer checkpoints use config.json
BPW_TOLERANCE = 0.05  # bits per weight: the names of repositories are rounded

# general.file_type of a GGUF: enum llama_ftype of llama.cpp's include/llama.h, LLAMA_FTYPE_MOSTLY_<name>.
FILE_TYPES = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m",
    13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 25: "iq4_nl", 30: "iq4_xs",
    32: "bf16",
}  # fmt: skip


@dataclass(frozen=True)
class Scheme:
    """One format with its parameters. `kind` is gguf, gptq, awq or exl2; parameters of other kinds are None."""

    kind: str
    type: str | None = None
    bits: float | None = None
    group: int | None = None


def parse(name: str) -> Scheme | None:
    """The scheme called `name`; None if it has no known form."""
    match = FORM.fullmatch(name)
    if not match:
        return None
    if match["gguf"]:
        return Scheme("gguf", type=match["type"])
    if match["gptq"]:
        return Scheme("gptq", bits=int(match["bits"]), group=int(match["group"]))
    if match["awq"]:
        return Scheme("awq", bits=4, group=int(match["awq_group"]))
    return Scheme("exl2", bits=float(match["bpw"]))


def mismatch(name: str, path: Path) -> str | None:
    """How the checkpoint (a GGUF file, or a directory) differs from its scheme `name`; None if it does not.

    Raises UnreadableArtefact for a GGUF file that is damaged or inconsistent.
    """
    scheme = parse(name)
    return _gguf(scheme, path) if scheme.kind == "gguf" else _safetensors(scheme, path)


def _gguf(scheme: Scheme, path: Path) -> str | None:
    """By general.file_type, else by the type that most bytes of the layers are stored in."""
    number = gguf.metadata(path, ("general.file_type",)).get("general.file_type")
    if number is not None:
        actual = FILE_TYPES.get(number, f"of file type {number}")
    else:
        nbytes: dict[str, int] = {}
        for tensor in gguf.tensors(path):
            if tensor.name.startswith("blk.") and len(tensor.shape) > 1:
                nbytes[tensor.dtype.lower()] = nbytes.get(tensor.dtype.lower(), 0) + tensor.nbytes
        actual = max(nbytes, key=nbytes.get, default="nothing")
        if re.fullmatch(rf"{actual}(_[sml])?", scheme.type):  # the tensors do not tell q4_k_s, q4_k_m and q4_k_l apart
            return None
    return None if actual == scheme.type else f"its weights are {actual}, not {scheme.type}"


def _safetensors(scheme: Scheme, folder: Path) -> str | None:
    config = quantization_config(folder)
    if not config:
        return f"it has no quantization_config in config.json, nor {' or '.join(CONFIGS)}: it is not quantised"
    method = str(config.get("quant_method", config.get("checkpoint_format", "gptq" if "desc_act" in config else "awq")))
    if method.lower() != scheme.kind:
        return f"its quantization_config says {method}, not {scheme.kind}"
    bits = config.get("bits", config.get("w_bit"))
    tolerance = BPW_TOLERANCE if scheme.kind == "exl2" else 0
    if not isinstance(bits, (int, float)) or abs(bits - scheme.bits) > tolerance:
        return f"its quantization_config says {bits} bits, not {scheme.bits:g}"
    group = config.get("group_size", config.get("q_group_size"))
    if scheme.group is not None and group != scheme.group:
        return f"its quantization_config says group size {group}, not {scheme.group}"
    return None


def quantization_config(folder: Path) -> dict[str, Any]:
    """The quantisation settings in config.json, else in a separate file; {} if there are none."""
    config = _json(folder / "config.json").get("quantization_config")
    return config if isinstance(config, dict) else next(filter(None, (_json(folder / name) for name in CONFIGS)), {})


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
