"""Checks that a launch must pass before its numbers count. Each gives "pass", "not checked: why" or "fail: why"."""

from orchestrator.judge.gates.agreement import agreement
from orchestrator.judge.gates.delays import calibration, own_benchmark
from orchestrator.judge.gates.physics import Traffic, physics
from orchestrator.judge.gates.precision import precision_proof
from orchestrator.judge.gates.prefix import cold_prefix
from orchestrator.judge.gates.tokens import token_audit

__all__ = [
    "NAMES", "Traffic", "agreement", "calibration", "cold_prefix", "own_benchmark", "physics", "precision_proof",
    "token_audit",
]  # fmt: skip
NAMES = ("precision", "tokens", "physics", "agreement", "cold_prefix", "self_calibration")
