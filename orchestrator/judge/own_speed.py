"""The speed that an engine's own benchmark reports, compared with ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.base import stats
from orchestrator.base.reading import Unreadable, is_number, parse, read_text
from orchestrator.base.stats import Summary
from orchestrator.judge.gates import delays
from orchestrator.judge.launch_files import RESULT_LIMIT
from orchestrator.sandbox.task import Ended, tail


def own_benchmark(ended: Ended, directory: Path) -> dict[str, Any]:
    """{"decode_tps", "prefill_tps", "reason"} of the benchmark that an engine ships, in tokens/s.

    directory:  of its task, with out/own_benchmark.json and stderr.log

    Both speeds are None if there is a reason. Missing or invalid output becomes a reason, not an exception.
    """
    unknown = {"decode_tps": None, "prefill_tps": None}
    if ended.exit_code != 0:
        lines = tail(directory / "stderr.log").splitlines() or [f"exit code {ended.exit_code}"]
        return {**unknown, "reason": lines[-1]}
    try:
        content = parse(read_text(directory / "out" / "own_benchmark.json", RESULT_LIMIT))
        speeds = {name: content[name] for name in unknown}
        if not all(is_number(speed) and speed > 0 for speed in speeds.values()):
            raise ValueError("a speed is not a positive number")
    except (OSError, Unreadable, ValueError, KeyError, TypeError) as error:
        return {**unknown, "reason": f"own_benchmark.json is not valid: {error}"}
    return {**speeds, "reason": None}


@dataclass(frozen=True)
class SpeedPair:
    """One launch beside the engine's own benchmark right after it: (decode, prefill) in tokens/s, None where unknown.

    `ours` are medians over the launch's iterations; `weight_bytes` is what it loaded; `reason` says why `own` is
    unknown.
    """

    ours: tuple[float, float] | None
    own: tuple[float, float] | None
    weight_bytes: int
    reason: str | None


@dataclass(frozen=True)
class OwnComparison:
    """Our speeds divided by those of the engine's own benchmark, launch by launch, and the gate's verdict on them."""

    decode: Summary | None
    prefill: Summary | None
    verdict: str

    def as_json(self) -> dict[str, Any]:
        """As summary.json holds it."""
        ratios = {"decode": self.decode, "prefill": self.prefill}
        return {**{name: ratio and ratio.as_json() for name, ratio in ratios.items()}, "verdict": self.verdict}


def compare_with_own(pairs: list[SpeedPair]) -> OwnComparison | None:
    """Compare a cell's launches at batch size 1 with the engine's own benchmark; None if that was never run."""
    if not pairs:
        return None
    usable = [pair for pair in pairs if pair.ours and pair.own]
    if not usable:
        return OwnComparison(None, None, f"not checked: {pairs[0].reason}")
    decode, prefill = ([pair.ours[i] / pair.own[i] for pair in usable if pair.ours and pair.own] for i in (0, 1))
    step_s = 1 / median(pair.ours[0] for pair in usable if pair.ours)  # batch size 1: a token is a step
    verdict = delays.own_benchmark(decode, usable[0].weight_bytes, step_s)
    return OwnComparison(stats.summary(decode, decode), stats.summary(prefill, prefill), verdict)
