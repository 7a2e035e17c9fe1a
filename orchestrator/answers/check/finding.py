"""One line of a conformance check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check. `passed` is None where it does not apply."""

    check: str
    passed: bool | None
    detail: str = ""

    @classmethod
    def of_gate(cls, check: str, word: str) -> Finding:
        """From a gate's word: "pass", "fail: why" or "not checked: why"."""
        state, _, why = word.partition(": ")
        return cls(check, {"pass": True, "fail": False}.get(state), why)
