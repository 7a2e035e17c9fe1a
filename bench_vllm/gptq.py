"""The limits of vLLM's loader for third-party GPTQ checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

from common.engine import Unsupported


def refuse_gptq(checkpoint: Path) -> None:
    """Raises Unsupported for checkpoints that vLLM refuses (layers/quantization/auto_gptq.py)."""
    separate = checkpoint / "quantize_config.json"
    scheme = json.loads((checkpoint / "config.json").read_text(encoding="utf-8")).get("quantization_config")
    if scheme is None and separate.is_file():
        scheme = json.loads(separate.read_text(encoding="utf-8"))
    if not scheme or scheme.get("quant_method", "gptq") != "gptq" or "bits" not in scheme:
        return
    if scheme.get("desc_act") and scheme.get("group_size") != -1:
        raise Unsupported("this vLLM takes no GPTQ checkpoint with desc_act: true (activation order) and groups")
    if not scheme.get("sym", True):
        raise Unsupported("this vLLM takes no asymmetric GPTQ checkpoint (sym: false)")
