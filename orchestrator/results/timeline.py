"""When each launch of a run ran, how it ended, and what the machine did meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import fmean, median
from typing import Any

from orchestrator.base.reading import is_number
from orchestrator.judge import analysis
from orchestrator.judge.samples import BadSamples, read_samples

MACHINE = "machine.json"
SERIES = {"cpu_mhz": median, "sm_clock_mhz": median, "temperature_c": max, "power_w": fmean, "load1": fmean}


def build_timeline(directory: Path, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each launch, repeated and failed ones too, in the journal's order.

    {"label", "engine", "title", "variant", "block", "started" (UTC, ISO 8601), "wall_s", "outcome", "noisy", "state"};
    `state` as in `state`.
    """
    cells = {cell["label"]: cell for record in records if record["kind"] == "run" for cell in record["cells"]}
    return [
        {
            "label": record["label"], **{key: cells[record["label"]][key] for key in ("engine", "title", "variant")},
            "block": record["block"], "started": record["started"], "wall_s": record["wall_s"],
            "outcome": record["outcome"], "noisy": record.get("noisy", False),
            "state": state(directory / record["directory"]),
        }
        for record in records
        if record["kind"] == "launch"
    ]  # fmt: skip


def state(directory: Path) -> dict[str, float]:
    """What is known of the machine during one launch; what is not known is left out.

    foreign_cpu_share, steal_share: of one core, over the measured iterations. bandwidth_gbs: the better probe of before
    and after. From the monitor, since the launch began: cpu_mhz, sm_clock_mhz (medians), temperature_c (highest),
    power_w, load1 (means).
    """
    return {**_shares(directory), **_bandwidth(directory), **_watched(directory)}


def _shares(directory: Path) -> dict[str, float]:
    found = {}
    with suppress(BadSamples, OSError):
        samples = [each for each in read_samples(directory / "out" / "samples.jsonl") if each["phase"] == "measure"]
        for name in ("foreign_cpu", "steal"):
            known = [each for each in samples if is_number(each.get(f"{name}_s"))]
            seconds = sum(each["steps_ns"][-1] for each in known) / 1e9
            if seconds:
                found[f"{name}_share"] = sum(each[f"{name}_s"] for each in known) / seconds
    return found


def _bandwidth(directory: Path) -> dict[str, float]:
    probes = _read(directory / analysis.FILE).get("bandwidth_gbs") or {}
    known = _numbers(probes.values())
    return {"bandwidth_gbs": max(known)} if known else {}


def _watched(directory: Path) -> dict[str, float]:
    machine = _read(directory / MACHINE)
    times, series = machine.get("t_ns") or [], machine.get("series") or {}
    began = (machine.get("marks") or {}).get("launch", 0)
    found = {}
    for name, how in SERIES.items():
        pairs = zip(times, series.get(name) or [], strict=False)
        values = _numbers(value for time, value in pairs if time >= began)
        if values:
            found[name] = how(values)
    return found


def _numbers(values: Iterable[Any]) -> list[float]:
    return [value for value in values if is_number(value)]


def _read(path: Path) -> dict[str, Any]:
    """Our own record beside a launch; empty where a launch of an earlier version, or one that was killed, has none."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
