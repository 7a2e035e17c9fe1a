"""The word with which a cell ends, of all its launches together.

A launch is judged when it ends (`verdict`). The engine's own benchmark is judged here: one launch beside one run of it
proves nothing, the interval over all of them does. It is a function of what the journal holds, so that it can be asked
at the end of a run and again of a journal of any age, with the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.base.outcomes import Outcome
from orchestrator.judge.gates import names
from orchestrator.judge.own_speed import OwnComparison

GATE = "self_calibration"


@dataclass(frozen=True)
class CellVerdict:
    """How a cell ended: outcome and, unless it is ok, the reason; each gate's word over all its launches."""

    outcome: Outcome
    reason: str | None
    gates: dict[str, str]


def judge_cell(
    outcome: Outcome, reason: str | None, launch_gates: list[dict[str, str]], own: OwnComparison | None
) -> CellVerdict:
    """`outcome` and `reason` are those of the launches; the engine's own benchmark may take an `ok` back.

    `launch_gates` are the words of each launch by gate, empty for a launch that came to none.
    """
    verdict = CellVerdict(outcome, reason, _words(launch_gates))
    if own is None:
        return verdict
    word = _with_own(verdict.gates[GATE], own.verdict)
    verdict = replace(verdict, gates={**verdict.gates, GATE: word})
    if outcome is Outcome.OK and own.verdict.startswith("fail"):
        reason = f"gate {GATE}: {own.verdict.removeprefix('fail: ')}"
        return replace(verdict, outcome=Outcome.INVALID_OUTPUT, reason=reason)
    return verdict


def _words(launch_gates: list[dict[str, str]]) -> dict[str, str]:
    """Each gate's word over all launches: a failure, else a pass, else why it was not checked."""
    words = {}
    for name in names.NAMES:
        given = [gates[name] for gates in launch_gates if name in gates]
        ranked = sorted(given, key=lambda word: (not word.startswith("fail"), not word.startswith("pass")))
        words[name] = ranked[0] if ranked else "not checked: no launch came so far"
    return words


def _with_own(delays: str, own: str) -> str:
    """One word for the gate: the suite's own delays first, then what the engine's own benchmark adds."""
    if not delays.startswith("pass") or own == "pass":
        return delays
    return own if own.startswith("fail") else f"pass (known delays; {own.removeprefix('not checked: ')})"
