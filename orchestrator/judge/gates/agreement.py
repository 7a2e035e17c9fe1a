"""Gate `agreement`: an unquantised variant computes what the float32 reference computes; fast but wrong does not count.

    fails if  log p(best token) - log p(own token) > gap   where a greedy sequence first leaves the reference's
    or        mean KL(reference || engine) > kl            over the teacher-forced positions, in nats

p is the reference's float32 distribution. The bounds are TOLERANCES[precision]; quantised variants are not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tolerance:
    """What an unquantised precision may differ by, in nats.

    kl:   mean KL divergence from the reference
    gap:  how far below the reference's best token, in its log-probability, a greedy token may lie where the two differ
    """

    kl: float
    gap: float


# Several times what correct engines showed on the bundled model and on random weights (docs/trust/gates.md), and far
# below what a wrong layer does: permuted weights give a KL of several nats.
TOLERANCES = {
    "float32": Tolerance(kl=1e-5, gap=0.02),
    "float16": Tolerance(kl=1e-3, gap=0.1),
    "bfloat16": Tolerance(kl=1e-2, gap=0.5),
}


def agreement(
    precision: str,
    expected: list[list[int]],
    generated: list[list[int]],
    gap: Callable[[int, int, int], float],
    quality: dict[str, Any] | None,
) -> str:
    """The gate, for the reference's greedy tokens `expected` and the engine's `generated`, both [sequences][steps].

    gap:      gap(sequence, step, token) is how far `token` lies below the reference's best one there, in nats
    quality:  of quality.compare, or None where the launch was not scored

    Only the first difference of a sequence is judged: what follows it continues another text. Raises ValueError where
    the two do not have the same number of sequences and steps.
    """
    tolerance = TOLERANCES.get(precision)
    if tolerance is None:
        return "not checked: a quantised variant differs by design; its quality columns say how much"
    for number, (reference, own) in enumerate(zip(expected, generated, strict=True)):
        for step, (right, token) in enumerate(zip(reference, own, strict=True)):
            if right != token:
                below = gap(number, step, token)
                if below > tolerance.gap:
                    return (
                        f"fail: at step {step} of prompt {number} the engine chose a token {below:.3g} nats below the "
                        f"float32 reference's; {tolerance.gap} are allowed at {precision}"
                    )
                break
    if quality is not None and quality["kl"] > tolerance.kl:
        return (
            f"fail: log-probabilities differ from the float32 reference by a KL of {quality['kl']:.2g} nats; "
            f"{tolerance.kl:g} are allowed at {precision}"
        )
    return "pass"
