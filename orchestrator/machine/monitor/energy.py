"""Energy per token, and the flags that follow from a monitor's record."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from orchestrator.base.outcomes import Flag

# nvmlClocksEventReason…, nvml.h; the AMD probe converts to these bits
POWER_CAP = 0x04  # SwPowerCap
HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x08, 0x20, 0x40, 0x80
SLOWED = HW_SLOWDOWN | SW_THERMAL | HW_THERMAL | POWER_BRAKE
UPDATES = 10  # with fewer counter updates within the spans, one more or less changes the result by 10 % or more

Points = list[tuple[int, float]]


def per_token(record: dict, spans: list[tuple[int, int, int]]) -> dict:
    """Energy of the measured iterations, divided by their tokens.

    `spans` are (start_ns, end_ns, tokens) on the monitor's clock (CLOCK_MONOTONIC of the same host). Returns
    {"energy_j_per_token", "energy_idle_subtracted_j_per_token" (J/token), "idle_power_w" (W), "source", "validity"}:

        energy = Σ (E(end) - E(start)) / Σ tokens,   idle-subtracted = (Σ ΔE - P_idle · Σ Δt) / Σ tokens

    with E interpolated linearly between the counter's updates and P_idle the mean power before the mark "launch".
    The subtracted value may be negative if the load is lost in the noise, and is reported so. `validity` is one of
    "ok"; "coarse": the spans hold fewer than 10 updates of the counter (NVML's come every 20 to 100 ms); "shared": the
    counter includes other processes (RAPL's always does: it counts the whole package); "unreadable: reason", with the
    numbers null.
    """
    series, source = record["series"], record.get("energy_source")
    points = _updates(record["t_ns"], series.get("energy_j", []))
    idle = _idle_power(record, points)
    if reason := _unreadable(record, points, spans):
        return _result(None, None, None, source, f"unreadable: {reason}")
    tokens = sum(span[2] for span in spans)
    joules = sum(_at(points, end) - _at(points, start) for start, end, _ in spans)
    seconds = sum(end - start for start, end, _ in spans) / 1e9
    net = None if idle is None else (joules - idle * seconds) / tokens
    updates = sum(any(start <= t <= end for start, end, _ in spans) for t, _ in points)
    shared = Flag.DEVICE_SHARED in record["flags"] or (source or "").startswith("RAPL")
    validity = "coarse" if updates < UPDATES else "shared" if shared else "ok"
    return _result(joules / tokens, net, idle, source, validity)


def flags(record: dict) -> list[str]:
    """The record's flags, and those that follow from its series.

    "throttled": a thermal or power-brake slowdown during the launch, of the GPU or of the processor; "power_capped":
    the GPU ran at its power limit (usual under load, but not the same on every card).
    """
    names = set(record["flags"])
    launch = record["marks"].get("launch", 0)
    bits = 0
    for t, value in zip(record["t_ns"], record["series"].get("throttle", []), strict=False):
        bits |= value if value is not None and t >= launch else 0
    throttles = zip(record["t_ns"], record["series"].get("cpu_throttles", []), strict=False)
    counts = [(t, count) for t, count in throttles if count is not None]
    before = [count for t, count in counts if t <= launch] or [count for _, count in counts[:1]]
    if bits & SLOWED or (counts and counts[-1][1] > before[-1]):
        names.add(Flag.THROTTLED)
    if bits & POWER_CAP:
        names.add(Flag.POWER_CAPPED)
    return sorted(names)


def integrate(t_ns: list[int], power_w: list[float | None]) -> list[float | None]:
    """Joules since the first reading, by the trapezoidal rule; None where no power was read."""
    joules: list[float | None] = []
    total, last = 0.0, None
    for t, power in zip(t_ns, power_w, strict=True):
        if power is None:
            joules.append(None)
            continue
        if last is not None:
            total += (t - last[0]) / 1e9 * (power + last[1]) / 2
        last = (t, power)
        joules.append(round(total, 6))
    return joules


def _result(gross, net, idle, source, validity) -> dict:
    return {
        "energy_j_per_token": gross,
        "energy_idle_subtracted_j_per_token": net,
        "idle_power_w": idle,
        "source": source,
        "validity": validity,
    }


def _updates(t_ns: list[int], joules: list[float | None]) -> Points:
    """The samples at which the counter changed; between updates it repeats its value, which is not zero power."""
    points: Points = []
    for t, value in zip(t_ns, joules, strict=False):
        if value is not None and (not points or value != points[-1][1]):
            points.append((t, value))
    return points


def _unreadable(record: dict, points: Points, spans: list[tuple[int, int, int]]) -> str | None:
    if not points:
        return record["unavailable"].get("energy", "no sample of it")
    if not sum(span[2] for span in spans):
        return "no measured tokens"
    if any(later < earlier for (_, earlier), (_, later) in pairwise(points)):
        return "the counter was reset meanwhile"
    sampled = [t for t, v in zip(record["t_ns"], record["series"]["energy_j"], strict=False) if v is not None]
    if min(span[0] for span in spans) < sampled[0] or max(span[1] for span in spans) > sampled[-1]:
        return "the measured iterations lie outside the time that was sampled"
    return None


def _idle_power(record: dict, points: Points) -> float | None:
    """Mean power in W before the launch, from the counter if it was updated often enough, else from power readings."""
    launch = record["marks"].get("launch")
    if launch is None:
        return None
    idle = [point for point in points if point[0] <= launch]
    if len(idle) > UPDATES // 2:
        return (idle[-1][1] - idle[0][1]) / (idle[-1][0] - idle[0][0]) * 1e9
    powers = zip(record["t_ns"], record["series"].get("power_w", []), strict=False)
    readings = [power for t, power in powers if power is not None and t <= launch]
    return sum(readings) / len(readings) if readings else None


def _at(points: Points, t: int) -> float:
    """The counter at time `t` (ns): linear between updates, constant before the first and after the last."""
    index = bisect_right(points, t, key=lambda point: point[0])
    if index in (0, len(points)):
        return points[min(index, len(points) - 1)][1]
    (t0, e0), (t1, e1) = points[index - 1 : index + 1]
    return e0 + (e1 - e0) * (t - t0) / (t1 - t0)
