"""The outcome of a cell, from all its launches together.

Each launch is judged when it ends (`verdict`). The engine's own benchmark is judged here: a single pair of runs proves
nothing, the interval over all launches does. The verdict depends only on recorded data, so that it can be derived from
a results directory of any age.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.base.outcomes import Outcome
from orchestrator.judge.gates import names
from orchestrator.judge.own_speed import OwnComparison

GATE = "self_calibration"


@dataclass(frozen=True)
class CellVerdict:
    """How a cell ended: the outcome, the reason unless it is ok, and each gate's verdict over all its launches."""

    outcome: Outcome
    reason: str | None
    gates: dict[str, str]


def judge_cell(
    outcome: Outcome, reason: str | None, launch_gates: list[dict[str, str]], own: OwnComparison | None
) -> CellVerdict:
    """Combine the launches' `outcome` and `reason` with the engine's own benchmark, which may revoke an `ok`.

    `launch_gates` holds each launch's verdict by gate, empty for a launch that failed before its gates.
    """
    verdict = CellVerdict(outcome, reason, _gate_verdicts(launch_gates))
    if own is None:
        return verdict
    calibration = _calibration_verdict(verdict.gates[GATE], own.verdict)
    verdict = replace(verdict, gates={**verdict.gates, GATE: calibration})
    if outcome is Outcome.OK and own.verdict.startswith("fail"):
        reason = f"gate {GATE}: {own.verdict.removeprefix('fail: ')}"
        return replace(verdict, outcome=Outcome.INVALID_OUTPUT, reason=reason)
    return verdict


def _gate_verdicts(launch_gates: list[dict[str, str]]) -> dict[str, str]:
    """Each gate's verdict over all launches: a failure, else a pass, else why it was not checked."""
    combined = {}
    for name in names.NAMES:
        verdicts = [gates[name] for gates in launch_gates if name in gates]
        ranked = sorted(verdicts, key=lambda text: (not text.startswith("fail"), not text.startswith("pass")))
        combined[name] = ranked[0] if ranked else "not checked: no launch came so far"
    return combined


def _calibration_verdict(delays: str, own: str) -> str:
    """One verdict for the gate: that on the known delays first, then what the engine's own benchmark adds."""
    if not delays.startswith("pass") or own == "pass":
        return delays
    return own if own.startswith("fail") else f"pass (known delays; {own.removeprefix('not checked: ')})"
