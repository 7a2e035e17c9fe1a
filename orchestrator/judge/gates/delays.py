"""Gate `self_calibration`: known delays are measured correctly, and an engine's own benchmark gives the same speed.

    fails if  |measured / true - 1| > WITHIN                             for a delay of the dummy's
    or        the interval of (our decode speed / own benchmark's) lies outside 1 +- tolerance

tolerance: OWN_LARGE for artefacts of LARGE bytes and more, else OWN_SMALL. The interval is the order-statistic interval
of the median over launches (stats.order_statistic_interval): only a significant difference fails the gate.
"""

from __future__ import annotations

from statistics import median

from orchestrator.base.stats import paired

WITHIN = 0.01  # of the dummy's delays
OWN_LARGE, OWN_SMALL = 0.02, 0.05  # of the engine's own benchmark, for artefacts of LARGE bytes and below
LARGE = 10**9
SHORT_STEP_S = 0.005  # below, fixed costs of either loop (tens of microseconds) are a percent of the step


def calibration(true: dict[str, float], measured: dict[str, float]) -> str:
    """The gate for `true` and `measured` delays in seconds, by name ("first token", "step"): within 1 % of each other.

    Raises KeyError if a delay was not measured.
    """
    for name, delay in true.items():
        if abs(measured[name] / delay - 1) > WITHIN:
            return f"fail: a {name} of {1000 * delay:g} ms was read back as {1000 * measured[name]:.4g} ms"
    return "pass"


def own_benchmark(ratios: list[float], artefact_bytes: int, step_s: float) -> str:
    """The gate for `ratios`: our decode speed over the engine's own benchmark's, one per launch.

    artefact_bytes:  of the loaded weights; decides the tolerance
    step_s:          median decode step in seconds; below SHORT_STEP_S nothing is judged

    "pass" if the median lies within tolerance, "fail" if the whole interval lies outside it.
    """
    if not ratios:
        return "not checked: the engine's own benchmark was not run"
    middle, interval = median(ratios), paired(ratios, [1.0] * len(ratios))
    if step_s < SHORT_STEP_S:
        return f"not checked: {middle:.3f} of the engine's own benchmark; steps of {1000 * step_s:.2g} ms are too short"
    tolerance = OWN_LARGE if artefact_bytes >= LARGE else OWN_SMALL
    if abs(middle - 1) <= tolerance:
        return "pass"
    if interval.is_beyond(1 - tolerance, 1 + tolerance):
        return f"fail: {interval} of the engine's own benchmark, {100 * tolerance:.0f} % are allowed"
    return f"not checked: {middle:.3f} of the engine's own benchmark, not enough launches to tell"
