"""The speed that an engine's own benchmark reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.base.reading import Unreadable, is_number, parse, read_text
from orchestrator.judge.verdict import RESULT_LIMIT
from orchestrator.sandbox.task import Ended, tail


def own_benchmark(ended: Ended, directory: Path) -> dict[str, Any]:
    """{"decode_tps", "prefill_tps", "reason"} of the benchmark that an engine ships, in tokens/s.

    directory:  its task's, with out/own_benchmark.json and stderr.log

    Both speeds are None where there is a reason. Raises nothing for what the benchmark left or did not leave.
    """
    unknown = {"decode_tps": None, "prefill_tps": None}
    if ended.exit_code != 0:
        lines = tail(directory / "stderr.log").splitlines() or [f"exit code {ended.exit_code}"]
        return {**unknown, "reason": lines[-1]}
    try:
        told = parse(read_text(directory / "out" / "own_benchmark.json", RESULT_LIMIT))
        speeds = {name: told[name] for name in unknown}
        if not all(is_number(speed) and speed > 0 for speed in speeds.values()):
            raise ValueError("a speed is not a positive number")
    except (OSError, Unreadable, ValueError, KeyError, TypeError) as error:
        return {**unknown, "reason": f"own_benchmark.json is not valid: {error}"}
    return {**speeds, "reason": None}
