"""Where each row's memory goes."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.formatting import number
from orchestrator.results.row import Row, contender, telling


def memory_split(rows: list[Row]) -> pd.DataFrame:
    """Where the memory of every row that is ok goes, in MiB.

    Runtime is what is resident beyond weights and KV cache: peak and mapped files, less both. KV is shown as reserved
    by the engine and as needed by the shape.
    """
    keys, lines = telling(rows), []
    for row in rows:
        if row["outcome"] != "ok":
            continue
        resident = [row["peak_host_mib"], row["peak_mapped_file_mib"]]
        held = [row["weights_mib"], row["kv_mib"] or row.get("kv_needed_mib")]
        on_host = row["device"] == "cpu" and None not in [*resident, *held]
        runtime = max(0.0, sum(resident) - sum(held)) if on_host else None
        lines.append([
            contender(row, keys), row["variant"], number(row["weights_mib"]), number(row["kv_mib"]),
            number(row.get("kv_needed_mib")), number(runtime), number(row["peak_host_mib"]),
            number(row["peak_mapped_file_mib"]), number(row["peak_device_mib"]),
        ])  # fmt: skip
    names = [
        "Engine", "Variant", "Weights", "KV reserved", "KV needed", "Runtime", "Peak host", "Mapped files",
        "Peak device",
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=names)
