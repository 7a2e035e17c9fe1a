"""Checks that a launch must pass before its numbers count. Each gives "pass", "not checked: why" or "fail: why"."""

from orchestrator.gates.agreement import agreement
from orchestrator.gates.calibration import calibration, own_benchmark
from orchestrator.gates.physics import Traffic, physics
from orchestrator.gates.precision import precision_proof
from orchestrator.gates.prefix import cold_prefix
from orchestrator.gates.tokens import token_audit

__all__ = [
    "NAMES", "Traffic", "agreement", "calibration", "cold_prefix", "own_benchmark", "physics", "precision_proof",
    "token_audit",
]  # fmt: skip
NAMES = ("precision", "tokens", "physics", "agreement", "cold_prefix", "self_calibration")
