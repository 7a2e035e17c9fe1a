"""Reads back what llama.cpp loaded: through its C API, and from its log where the API has no call."""

from __future__ import annotations

import ctypes
import re
import sys

import llama_cpp as llama

from common.engine import Loaded

GGML_LOG_LEVEL_DEBUG = 4
FLOAT_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
FILE_TYPES = {
    getattr(llama, name): name.removeprefix("LLAMA_FTYPE_MOSTLY_").lower()
    for name in dir(llama)
    if name.startswith("LLAMA_FTYPE_MOSTLY_")
}


class Log:
    """llama.cpp's log: collected, and passed on to stderr."""

    def __init__(self):
        self._lines: list[str] = []
        self._callback = llama.llama_log_callback(self._receive)  # keeps it alive: C has only a pointer to it
        llama.llama_log_set(self._callback, None)

    def _receive(self, level, text, _data):
        if level == GGML_LOG_LEVEL_DEBUG:
            return
        line = text.decode(errors="replace")
        self._lines.append(line)
        sys.stderr.write(line)

    def text(self) -> str:
        return "".join(self._lines)

    def tail(self, count: int) -> str:
        """The last `count` lines."""
        return "".join(self._lines[-count:])


def read_back(model, context, log: Log, device: str) -> Loaded:
    """Loaded of a model and its context on a device kind. Raises RuntimeError if a layer is not on that device."""
    text, on_cpu = log.text(), device == "cpu"
    types = {name: int(count) for name, count in re.findall(r"- type +(\w+): +(\d+) tensors", text)}
    weight_types = sorted(set(types) - {"f32"}) or ["f32"]  # norms are f32 in every file
    caches = re.findall(r": size = +([\d.]+) MiB \(.* cells.* K \((\w+)\).* V \((\w+)\)", text)
    kv_types = sorted({FLOAT_TYPES.get(name, name) for _, *names in caches for name in names})
    buffers = re.findall(r"(\S+) model buffer size = +([\d.]+) MiB", text)
    offloaded = re.findall(r"offloaded (\d+)/(\d+) layers to GPU", text)
    if not on_cpu and (not offloaded or offloaded[-1][0] != offloaded[-1][1]):
        raise RuntimeError(f"not every layer is on the {device} device: {offloaded}")
    return Loaded(
        version=f"{llama.llama_version().decode()} ({commit()})",
        dtype=FLOAT_TYPES.get(weight_types[0], "float32"),
        quantization=None if set(weight_types) <= set(FLOAT_TYPES) else FILE_TYPES[llama.llama_model_ftype(model)],
        weight_bytes=llama.llama_model_size(model),
        threads=llama.llama_n_threads(context) if on_cpu else None,
        kv_dtype=", ".join(kv_types) or None,
        kv_bytes=round(sum(float(mebibytes) for mebibytes, *_ in caches) * 2**20) if caches else None,
        extra={
            "tensor_types": types,
            "weight_buffers_mib": {buffer: float(mebibytes) for buffer, mebibytes in buffers},
            "flash_attention": "Flash Attention enabled" in text,
            "load_mode": "none (read into memory, not mapped)",
            "bindings": f"llama-cpp-python {llama.__version__}",
            "system": llama.llama_print_system_info().decode().strip(),
        },
    )


def commit() -> str:
    """llama.cpp's commit, as compiled into the library."""
    function = llama.llama_cpp._lib.ggml_commit
    function.restype = ctypes.c_char_p
    return function().decode()
