"""The launches of a run in time: when each ran, how it ended, and the state of the machine meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from statistics import fmean, median
from typing import Any

from orchestrator.base.reading import is_number
from orchestrator.judge.launch_files import BadSamples
from orchestrator.results.launch_record import LaunchRecord

SERIES: dict[str, Callable[[list[float]], float]] = {
    "cpu_mhz": median,
    "sm_clock_mhz": median,
    "temperature_c": max,
    "power_w": fmean,
    "load1": fmean,
}


def timeline_entry(cell: dict[str, Any], record: dict[str, Any], launch: LaunchRecord) -> dict[str, Any]:
    """The entry of one launch; repeated and failed launches have one, too.

    {"label", "engine", "title", "variant", "block", "started" (UTC, ISO 8601), "wall_s", "outcome", "noisy", "state"};
    `state` as in `state`. `cell` and `record` are the journal's.
    """
    return {
        "label": record["label"],
        **{key: cell[key] for key in ("engine", "title", "variant")},
        **{key: record[key] for key in ("block", "started", "wall_s", "outcome")},
        "noisy": record.get("noisy", False),
        "state": state(launch),
    }


def state(launch: LaunchRecord) -> dict[str, float]:
    """The state of the machine during one launch; unknown values are left out.

    foreign_cpu_share, steal_share: of one core, over the measured iterations. bandwidth_gbs: the better of the probes
    before and after. From the monitor, since the launch began: cpu_mhz, sm_clock_mhz (medians), temperature_c
    (highest), power_w, load1 (means).
    """
    return {**_shares(launch), **_bandwidth(launch), **_monitored(launch)}


def _shares(launch: LaunchRecord) -> dict[str, float]:
    shares = {}
    with suppress(BadSamples, OSError):
        samples = [sample for sample in launch.samples if sample.phase == "measure"]
        for name in ("foreign_cpu", "steal"):
            counted = [sample for sample in samples if getattr(sample, f"{name}_s") is not None]
            seconds = sum(sample.steps_ns[-1] for sample in counted) / 1e9
            if seconds:
                shares[f"{name}_share"] = sum(getattr(sample, f"{name}_s") for sample in counted) / seconds
    return shares


def _bandwidth(launch: LaunchRecord) -> dict[str, float]:
    probes = _numbers((_readable(lambda: launch.analysis).get("bandwidth_gbs") or {}).values())
    return {"bandwidth_gbs": max(probes)} if probes else {}


def _monitored(launch: LaunchRecord) -> dict[str, float]:
    machine = _readable(lambda: launch.machine)
    times, series = machine.get("t_ns") or [], machine.get("series") or {}
    began = (machine.get("marks") or {}).get("launch", 0)
    values = {}
    for name, aggregate in SERIES.items():
        pairs = zip(times, series.get(name) or [], strict=False)
        sampled = _numbers(value for time, value in pairs if time >= began)
        if sampled:
            values[name] = aggregate(sampled)
    return values


def _numbers(values: Iterable[Any]) -> list[float]:
    return [value for value in values if is_number(value)]


def _readable(read: Callable[[], Any]) -> dict[str, Any]:
    """The suite's own record of a launch; empty if it is missing or torn, as a killed launch leaves it."""
    with suppress(OSError, ValueError):
        record = read()
        return record if isinstance(record, dict) else {}
    return {}
