"""The device's limits, as common/limits measured them in a container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.base.reading import is_number


def limits_of(told: dict[str, Any]) -> dict[str, Any]:
    """The limits of a run from limits.json: {"bandwidth_gbs": {best, values, spread, method}, "matmul": {dtype: …}}.

    Spread is (largest - smallest) / largest of the three repeats. Raises KeyError, TypeError, ValueError.
    """
    probes = [probe for probe in told["bandwidth"] if probe]
    values = [probe["best_gbs"] for probe in probes]
    peaks = {
        str(name): {"gflops": peak["gflops"], "n": peak["n"], "by": str(peak["by"])}
        for name, peak in told["matmul"].items()
    }
    if not all(is_number(value) and value > 0 for value in [*values, *(peak["gflops"] for peak in peaks.values())]):
        raise ValueError("a limit is not a positive number")
    bandwidth = None
    if values:
        bandwidth = {
            "best": max(values), "values": values, "spread": 1 - min(values) / max(values),
            "method": str(probes[0]["method"]), "threads": probes[0]["threads"],
            "buffer_bytes": probes[0]["buffer_bytes"], "last_level_cache": probes[0]["last_level_cache"],
        }  # fmt: skip
    return {"bandwidth_gbs": bandwidth, "matmul": peaks}


def read_limits(directory: Path) -> dict[str, Any] | None:
    """The limits that a run measured, from its directory; None where it measured none.

    A resumed run measures them again; the first count, or its finished rows would change.
    """
    for place in sorted(directory.glob("standards/limits-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        try:
            return limits_of(json.loads((place / "out" / "limits.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
