"""Gate `self_calibration`: known delays read back true, and an engine's own benchmark gives the same figure."""

from __future__ import annotations

from orchestrator.base.stats import paired

WITHIN = 0.01  # of the dummy's delays
OWN_LARGE, OWN_SMALL = 0.02, 0.05  # of the engine's own benchmark, for artefacts of LARGE bytes and below
LARGE = 10**9
SHORT_STEP_S = 0.005  # below, fixed costs of either loop (tens of microseconds) are a percent of the step


def calibration(known: dict[str, float], measured: dict[str, float]) -> str:
    """`known` and `measured` delays in seconds, by name ("first token", "step"): each within 1 %."""
    for name, true in known.items():
        if abs(measured[name] / true - 1) > WITHIN:
            return f"fail: a {name} of {1000 * true:g} ms was read back as {1000 * measured[name]:.4g} ms"
    return "pass"


def own_benchmark(ratios: list[float], artefact_bytes: int, step_s: float) -> str:
    """Our decode speed over the engine's own benchmark's, launch by launch. Fails only where the difference is shown.

    "pass" if the median lies within tolerance, "fail" if the whole interval lies outside of it.
    """
    if not ratios:
        return "not checked: the engine's own benchmark was not run"
    found = paired(ratios, [1.0] * len(ratios))
    middle = found.ratio
    if step_s < SHORT_STEP_S:
        return f"not checked: {middle:.3f} of the engine's own benchmark; steps of {1000 * step_s:.2g} ms are too short"
    tolerance = OWN_LARGE if artefact_bytes >= LARGE else OWN_SMALL
    if abs(middle - 1) <= tolerance:
        return "pass"
    if found.low is not None and (found.high < 1 - tolerance or found.low > 1 + tolerance):
        return f"fail: {found} of the engine's own benchmark, {100 * tolerance:.0f} % are allowed"
    return f"not checked: {middle:.3f} of the engine's own benchmark, not enough launches to tell"
