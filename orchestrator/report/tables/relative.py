"""Comparing tables: with a baseline row, across machines, CPU with accelerator. Frames of texts for one workload."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pandas as pd

from orchestrator.base import stats
from orchestrator.base.errors import unknown
from orchestrator.base.escape import first_line
from orchestrator.plan.engine import PRECISIONS
from orchestrator.report.formatting import number, speed
from orchestrator.report.tables.speed import against
from orchestrator.results.row import Row, contender, notes, telling, when

OUTLIERS = (
    "Mean of the launches' medians without outliers: those outside Tukey's fences, 1.5 interquartile ranges beyond the "
    "quartiles (Exploratory Data Analysis, 1977); fewer than five launches have none. No other table leaves any out."
)


def check_baseline(rows: list[Row], asked: str | None) -> None:
    """Raises UserError where no row that is ok is called `asked` (ENGINE:VARIANT)."""
    names = dict.fromkeys(_name(row) for row in rows if row["outcome"] == "ok")
    if asked is not None and asked not in names:
        raise unknown("baseline", asked, names)


def baseline(rows: list[Row], asked: str | None) -> Row | None:
    """The row that a table is relative to: the one asked for, else the first of float32, else the first that is ok."""
    ok = [row for row in rows if row["outcome"] == "ok"]
    if asked is not None:
        return next((row for row in ok if _name(row) == asked), None)
    return next((row for row in ok if row["precision"] == "float32"), ok[0] if ok else None)


def settings(rows: list[Row], asked: str | None = None) -> pd.DataFrame:
    """Software, Settings, Avg Tok/s, Max Mem, Speed X, Max mem %, Notes; relative to one row of the table.

    Avg Tok/s is the mean end-to-end speed (prompt included), as is usual in tables of this form. Max Mem is the peak on
    the device; on the host for a CPU, and, marked "(host)", where the device's is not known.
    """
    keys, base, lines = telling(rows), baseline(rows, asked), []
    for row in rows:
        head = [contender(row, keys), row["variant"]]
        if row["outcome"] != "ok":
            lines.append([*head, row["outcome"], "-", "-", "-", first_line(row["reason"])])
            continue
        factor = f"{row['e2e_tps']['mean'] / base['e2e_tps']['mean']:.3g}" if base else "-"
        share = _memory_share(row, base)
        lines.append([*head, number(row["e2e_tps"]["mean"]), _memory_text(row), factor, share, notes(row)])
    return pd.DataFrame(
        lines, columns=["Software", "Settings", "Avg Tok/s", "Max Mem", "Speed X", "Max mem %", "Notes"]
    )


def settings_note(rows: list[Row], asked: str | None = None) -> str:
    """The sentence that names the baseline of `settings`."""
    base = baseline(rows, asked)
    if base is None:
        return f"No row of this table is called {asked}: nothing is relative." if asked else "No row is ok."
    return f"Speed X and Max mem % are relative to {contender(base, telling(rows))} {base['variant']}."


def precisions(rows: list[Row], asked: str | None = None) -> pd.DataFrame:
    """Data type, speed-up and memory against the baseline of the same run and device, paired by launch.

    Without `asked`, an engine's baseline is its own most precise variant.
    """
    keys, lines, ok = telling(rows), [], [row for row in rows if row["outcome"] == "ok" and row["decode_tps"]]
    ordered = sorted(ok, key=lambda row: (contender(row, keys), PRECISIONS.index(row["precision"])))
    bases: dict[tuple[Any, ...], Row] = {}
    for row in ordered:
        if asked is None or _name(row) == asked:
            bases.setdefault(_setting(row, asked), row)
    for row in ordered:
        base = bases.get(_setting(row, asked))
        lines.append([
            contender(row, keys), row["precision"], row["variant"], speed(row), *_speed_up(row, base),
            _memory_text(row), _memory_share(row, base),
        ])  # fmt: skip
    names = ["Engine", "Data type", "Variant", "Decode tok/s", "Speed-up", "Verdict", "Max mem", "Of baseline"]
    return pd.DataFrame(lines, columns=names)


def precisions_note(_rows: list[Row], asked: str | None = None) -> str:
    return f"Relative to {asked or 'the most precise variant of the same engine'}, in the same run."


def machines(rows: list[Row]) -> pd.DataFrame:
    """Decode speed with machines (and devices, where there are several kinds) as columns; empty for one machine.

    A machine's runs of different times share a cell, each with its engine's version and time.
    """
    several = len({row["device"] for row in rows}) > 1
    columns = dict.fromkeys(_place(row, several) for row in rows)
    if len(columns) < 2:
        return pd.DataFrame()
    cells: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        line = cells.setdefault((row["title"], row["variant"]), {})
        line.setdefault(_place(row, several), []).append(row)
    lines = [[*names, *(_cell(line.get(column, [])) for column in columns)] for names, line in cells.items()]
    return pd.DataFrame(lines, columns=["Engine", "Variant", *columns])


def cpu_against_accelerator(rows: list[Row]) -> pd.DataFrame:
    """Each variant on an accelerator beside the same variant on a CPU, that of the same machine if it has one.

    Empty where no variant ran on both. Speeds are means without outliers (`OUTLIERS`), as is usual in such tables.
    """
    ok = [row for row in rows if row["outcome"] == "ok" and row["decode_tps"]]
    lines = []
    for ours in (row for row in ok if row["device"] != "cpu"):
        same = [row for row in ok if row["device"] == "cpu" and _name(row) == _name(ours)]
        for theirs in [row for row in same if row["machine"] == ours["machine"]] or same:
            (cpu, *cpu_counts), (fast, *counts) = _trimmed(theirs), _trimmed(ours)
            lines.append([
                ours["title"], ours["variant"], _where(theirs), number(cpu), *cpu_counts, _where(ours), number(fast),
                *counts, number(fast / cpu),
            ])  # fmt: skip
    heads = ["Tok/s", "Runs", "Outliers"]
    names = ["CPU", *(f"CPU {head}" for head in heads), "Accelerator", *(f"Accelerator {head}" for head in heads)]
    return pd.DataFrame(lines, columns=["Engine", "Variant", *names, "Speed X"]) if lines else pd.DataFrame()


def _name(row: Row) -> str:
    return f"{row['engine']}:{row['variant']}"


def _setting(row: Row, asked: str | None) -> tuple[Any, ...]:
    """Equal for rows that were measured side by side and, without `asked`, are of the same engine."""
    keys = ("run_id", "source", "machine", "device", "isolation", *(() if asked else ("engine",)))
    return tuple(row.get(key) for key in keys)


def _speed_up(row: Row, base: Row | None) -> tuple[str, str]:
    if base is None:
        return "-", "-"
    if row is base:
        return "1", "baseline"
    ratio, verdict = against(row, base)
    if ratio == "-":  # the launches cannot be paired: a ratio without an interval
        ratio = f"{row['decode_tps']['median'] / base['decode_tps']['median']:.3f}"
    return ratio, verdict


def _memory(row: Row) -> tuple[float | None, bool]:
    """Peak in MiB, and whether it is the device's own."""
    if row["device"] != "cpu" and row["peak_device_mib"] is not None:
        return row["peak_device_mib"], True
    return row["peak_host_mib"], False


def _memory_text(row: Row) -> str:
    peak, on_device = _memory(row)
    return f"{number(peak)} MiB" + (" (host)" if row["device"] != "cpu" and not on_device else "")


def _memory_share(row: Row, base: Row | None) -> str:
    """The peak as a share of the baseline's; a device's memory is not compared with a host's."""
    if base is None:
        return "-"
    (peak, on_device), (other, other_on_device) = _memory(row), _memory(base)
    return f"{100 * peak / other:.0f} %" if peak and other and on_device == other_on_device else "-"


def _place(row: Row, with_device: bool) -> str:
    name = f"{row['machine']} · {row['device']}" if with_device else str(row["machine"])
    return f"{name} (machine)" if name in ("Engine", "Variant") else name  # column names are unique


def _cell(rows: list[Row]) -> str:
    if len(rows) < 2:
        return speed(rows[0]) if rows else "-"
    return "\n".join(f"{speed(row)} ({row['engine_version']}, {when(row)})" for row in rows)


def _where(row: Row) -> str:
    return f"{row['device_name']} ({row['machine']})"


def _trimmed(row: Row) -> tuple[float, str, str]:
    """(mean without outliers, number of launches, number of outliers)."""
    values = row["decode_tps"]["values"]
    kept = stats.within_fences(values)
    return fmean(kept), str(len(values)), str(len(values) - len(kept))
