"""The device's limits, as common/limits measured them in a container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.base.reading import is_number


def limits_of(record: dict[str, Any]) -> dict[str, Any]:
    """The limits of a run from limits.json: {"bandwidth_gbs": {best, values, spread, method}, "matmul": {dtype: …}}.

    Spread is (largest - smallest) / largest of the three repeats. Raises KeyError, TypeError, ValueError.
    """
    probes = [probe for probe in record["bandwidth"] if probe]
    values = [probe["best_gbs"] for probe in probes]
    peaks = {
        str(name): {"gflops": peak["gflops"], "n": peak["n"], "by": str(peak["by"])}
        for name, peak in record["matmul"].items()
    }
    if not all(is_number(value) and value > 0 for value in [*values, *(peak["gflops"] for peak in peaks.values())]):
        raise ValueError("a limit is not a positive number")
    bandwidth = None
    if values:
        bandwidth = {
            "best": max(values),
            "values": values,
            "spread": 1 - min(values) / max(values),
            "method": str(probes[0]["method"]),
            **{key: probes[0][key] for key in ("threads", "buffer_bytes", "last_level_cache")},
        }
    return {"bandwidth_gbs": bandwidth, "matmul": peaks}


def read_limits(directory: Path) -> dict[str, Any] | None:
    """The limits that a run measured, from its directory; None if it measured none.

    A resumed run measures them again. The first measurement counts: a later one would change finished rows.
    """
    for folder in sorted(directory.glob("standards/limits-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        try:
            return limits_of(json.loads((folder / "out" / "limits.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
