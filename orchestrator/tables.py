"""The tables people know, from summary rows. Each function gives a pandas DataFrame of texts for one workload."""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestrator import stats
from orchestrator.engines import PRECISIONS
from orchestrator.texts import Row, first_line, milliseconds, number, percent, scientific, speed, utilisation


def workload_title(row: Row) -> str:
    """One line that names the work all rows of a table did."""
    title = f"{row['model']}: batch {row['batch_size']}, {row['prompt_tokens']} prompt + {row['new_tokens']} new tokens"
    return title + (" (synthetic weights)" if "synthetic_weights" in row["flags"] else "")


def by_workload(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows grouped by workload, in order of appearance; a cell that never got one joins its shape's group."""
    titles = {row["workload"]: workload_title(row) for row in rows if row["workload"]}
    hashes = {title: workload for workload, title in titles.items()}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        key = row["workload"] or hashes.get(workload_title(row)) or workload_title(row)
        groups.setdefault(key, []).append(row)
    return groups


def telling(rows: list[Row]) -> tuple[str, ...]:
    """The keys, beside the engine, in which the rows of a table differ. Once a table: a fleet has many rows.

    Runs of one machine at different times are told apart by the engine's version, else by the time.
    """
    keys = [key for key in ("device", "machine", "isolation") if len({row[key] for row in rows}) > 1]
    for key in ("engine_version", "run_started", "source"):
        if len({_identity(row, keys) for row in rows}) == len(rows):
            break
        if len({row.get(key) for row in rows}) > 1 and (key != "engine_version" or _versions_differ(rows)):
            keys.append(key)
    return tuple(keys)


def _identity(row: Row, keys: list[str]) -> tuple:
    return row["title"], row["variant"], row["batch_size"], *(row.get(key) for key in keys)


def _versions_differ(rows: list[Row]) -> bool:
    """Whether some engine is there in two versions; that different engines have different ones tells nothing."""
    return len({(row["engine"], row["engine_version"]) for row in rows}) > len({row["engine"] for row in rows})


def contender(row: Row, keys: tuple[str, ...]) -> str:
    """The engine's title, and what else tells it apart (`telling`)."""
    return " · ".join([row["title"], *(when(row) if key == "run_started" else str(row[key]) for key in keys)])


def when(row: Row) -> str:
    """When the row's run began, UTC; a summary of a single run says it of the run, not of its rows."""
    return (row.get("run_started") or row.get("started") or "time unknown")[:19].replace("T", " ")


def grid(rows: list[Row], text) -> pd.DataFrame:
    """Engine x precision. Several variants of one precision share a cell, each with its scheme's name.

    A column that nobody supports on this device is left out, as long as there is another: `failures` names its rows.
    """
    tried = [row for row in rows if row["outcome"] != "unsupported"] or rows
    columns = [precision for precision in PRECISIONS if any(row["precision"] == precision for row in tried)]
    keys, table = telling(rows), {}
    for row in rows:
        cell = table.setdefault(contender(row, keys), {}).setdefault(row["precision"], [])
        plain = row["variant"] == row["precision"]
        cell.append(text(row) if plain else f"{text(row)} ({row['variant']})")
    frame = [[name, *("\n".join(cells.get(column, ["-"])) for column in columns)] for name, cells in table.items()]
    return pd.DataFrame(frame, columns=["Engine", *columns])


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


def detail(rows: list[Row]) -> pd.DataFrame:
    """Prefill, time to first token, step time, cold start, for every row that is ok."""
    keys, lines = telling(rows), []
    for row in rows:
        if row["outcome"] != "ok":
            continue
        lines.append([
            contender(row, keys), row["variant"], str(row["threads"] or "?"), speed(row, "prefill_tps"),
            milliseconds(row["ttft_s"]), milliseconds(row["itl_s"]), _ms(row["itl_p90_s"]), _ms(row["itl_p99_s"]),
            number(row["load_s"]), number(row["first_generate_s"]),
        ])  # fmt: skip
    names = [
        "Engine",
        "Variant",
        "Threads",
        "Prefill tok/s",
        "TTFT ms",
        "Step ms",
        "p90 ms",
        "p99 ms",
        "Load s",
        "First s",
    ]
    return pd.DataFrame(lines, columns=names)


def ranking(rows: list[Row]) -> pd.DataFrame:
    """Rows by decode speed, each against the one above it and against the fastest, paired by block."""
    keys, lines = telling(rows), []
    ranked = sorted(
        (r for r in rows if r["outcome"] == "ok" and r["decode_tps"]), key=lambda r: -r["decode_tps"]["median"]
    )
    for above, row in zip([None, *ranked], ranked, strict=False):
        lines.append([
            contender(row, keys), row["variant"], speed(row), *against(row, above),
            "-" if row is ranked[0] else number(row["decode_tps"]["median"] / ranked[0]["decode_tps"]["median"]),
        ])  # fmt: skip
    return pd.DataFrame(
        lines, columns=["Engine", "Variant", "Decode tok/s", "Of the one above", "Verdict", "Of the fastest"]
    )


def against(row: Row, other: Row | None) -> tuple[str, str]:
    """Ratio and verdict of two rows; only rows of the same blocks of one run can be paired."""
    if other is None:
        return "-", "-"
    same_run = all(
        row.get(key) == other.get(key) for key in ("blocks", "machine", "source")
    )  # merged rows have a source
    if not same_run or len(row["decode_tps"]["values"]) != len(other["decode_tps"]["values"]):
        return "-", "cannot tell (not measured side by side)"
    found = stats.paired(row["decode_tps"]["values"], other["decode_tps"]["values"])
    interval = "" if found["low"] is None else f" [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{found['ratio']:.3f}{interval}", found["verdict"]


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


def _ms(value: float | None) -> str:
    return "n/a" if value is None else number(value * 1000)
