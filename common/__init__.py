"""Runs inside every engine's container: the engine base class, timing, memory, conversion and result files.

Light on purpose (standard library; numpy and psutil only where they are needed), and never imports the orchestrator:
the two meet only in job.json, samples.jsonl and result.json.
"""

from common.engine import Engine, Loaded, Unsupported, dtype_name
from common.launch import main

__all__ = ["Engine", "Loaded", "Unsupported", "dtype_name", "main"]
