"""What speaks for and against rows: gates, limits, failures, ready-made checkpoints."""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestrator.base.escape import first_line
from orchestrator.report.formatting import number, percent, scientific, utilisation
from orchestrator.results.row import Row, contender, telling


def evidence(rows: list[Row]) -> pd.DataFrame:
    """Distance to the hardware's limit, quality, energy and gates, for every row that is ok."""
    keys, lines = telling(rows), []
    for row in rows:
        if row["outcome"] != "ok":
            continue
        quality = row["quality"] or {}
        open_gates = [name for name, word in row["gates"].items() if not word.startswith("pass")]
        lines.append([
            contender(row, keys), row["variant"],
            "in cache" if row["mbu"] is None and row.get("bandwidth_gbs") else percent(row["mbu"]),
            utilisation(row["mfu"]), number(row["energy_j_per_token"]),
            scientific(quality.get("kl")), scientific(quality.get("kl_p99")),
            percent(quality.get("top1"), 2), number(quality.get("perplexity")), percent(quality.get("greedy_match")),
            f"{len(row['gates']) - len(open_gates)} of {len(row['gates'])}"
            + (f"; not checked: {', '.join(open_gates)}" if open_gates else ""),
        ])  # fmt: skip
    names = [
        "Engine", "Variant", "MBU", "MFU", "J/token", "KL", "KL p99", "Top-1", "Perplexity", "Greedy match",
        "Gates passed",
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=names)


def limits(found: dict[str, Any] | None) -> str:
    """The device's limits in lines."""
    if found is None:
        return "no limits were measured"
    bandwidth, lines = found["bandwidth_gbs"], []
    if bandwidth:
        lines.append(
            f"memory bandwidth: {bandwidth['best']:.1f} GB/s "
            f"(best of {', '.join(f'{value:.1f}' for value in bandwidth['values'])}; {bandwidth['method']}, "
            f"{bandwidth['threads'] or 'all'} threads, {bandwidth['buffer_bytes'] / 1e6:.0f} MB)"
        )
    else:
        lines.append("memory bandwidth: could not be measured")
    lines += [
        f"matrix products {dtype}: {peak['gflops']:.0f} GFLOP/s (n = {peak['n']}, {peak['by']})"
        for dtype, peak in found["matmul"].items()
    ]
    return "\n".join(lines)


def failures(rows: list[Row]) -> pd.DataFrame:
    """Every cell that is not ok, with its word and reason."""
    keys = telling(rows)
    lines = [
        [contender(row, keys), row["variant"], row["outcome"], first_line(row["reason"])]
        for row in rows
        if row["outcome"] != "ok"
    ]
    return pd.DataFrame(lines, columns=["Engine", "Variant", "Outcome", "Reason"])


def ready_made(rows: list[Row]) -> pd.DataFrame:
    """Where the weights of every row come from that were not converted here."""
    keys = telling(rows)
    lines = [
        [contender(row, keys), row["variant"], *(row[f"artefact_{name}"] or "-" for name in ("scheme", "source")),
         (row["artefact_revision"] or "-")[:12], row["artefact_digest"][:16]]
        for row in rows
        if row.get("artefact_digest")
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["Engine", "Variant", "Scheme", "Checkpoint", "Commit", "sha256"])
