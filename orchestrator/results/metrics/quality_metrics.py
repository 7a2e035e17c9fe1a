"""How near a row comes to what its device can do, what it costs, and how near it stays to the reference."""

from __future__ import annotations

from typing import Any

from orchestrator.results.metrics import readings
from orchestrator.results.metrics.metric import ENERGIES, SMALLER, Group, Metric, Over, Style

EXAM = "the examined launch's log-probabilities and the float32 reference's"
COUNTER = "NVML, amdsmi or RAPL, read on the host"
LIMIT = (
    Metric(
        key="mbu",
        field="mbu",
        title="MBU",
        short="MBU",
        meaning="memory bandwidth utilisation: the share of the measured bandwidth that decoding uses",
        formula="bytes per decode step · steps per second / bandwidth, the better of the launch's two probes",
        source="tensor table of the artefact, and the probes beside the launch",
        group=Group.LIMIT,
        style=Style.PERCENT,
        better="more",
        of_launch=lambda launch: launch.analysis.get("mbu"),
        over=Over.MEDIAN,
        reader=readings.bandwidth_share,
        page=True,
    ),
    Metric(
        key="mfu",
        field="mfu",
        title="MFU",
        short="MFU",
        meaning="model FLOPs utilisation: the share of the measured peak of matrix products that prefill uses",
        formula="prefill operations / t₁ / peak of the products' dtype",
        source="Kaplan et al. 2020, table 1, and the peaks measured at the start of the run",
        group=Group.LIMIT,
        style=Style.UTILISATION,
        better="more",
        page=False,
    ),
)
ENERGY = (
    Metric(
        key="energy",
        field="energy_j_per_token",
        title="energy",
        short="J/token",
        meaning="joules per token as the counter reads them, idle power included",
        formula="counter at the end of the measured iterations minus at their beginning, over their tokens",
        source=COUNTER,
        group=Group.ENERGY,
        style=Style.SMALL,
        unit="J/token",
        units=ENERGIES,
        better="less",
        words=SMALLER,
        of_launch=lambda launch: launch.analysis.get("energy_j_per_token"),
        listed=True,
        over=Over.MEDIAN,
        reader=readings.energy,
        limit="--max-energy",
        example="0.5J",
        objective="energy",
        comparable=True,
        page=True,
    ),
    Metric(
        key="energy_net",
        field="energy_idle_subtracted_j_per_token",
        title="energy without idle draw",
        short="J/token net",
        meaning="joules per token less the mean power of the second before the launch",
        formula="(energy − idle power · time) / tokens",
        source=COUNTER,
        group=Group.ENERGY,
        style=Style.SMALL,
        unit="J/token",
        units=ENERGIES,
        better="less",
        words=SMALLER,
        of_launch=lambda launch: launch.analysis.get("energy_idle_subtracted_j_per_token"),
        over=Over.MEDIAN,
        table=False,
    ),
)


def _quality(name: str, title: str, short: str, meaning: str, formula: str, style: Style, **more: Any) -> Metric:
    return Metric(
        key=name,
        field=f"quality.{name}",
        title=title,
        short=short,
        meaning=meaning,
        formula=formula,
        group=Group.QUALITY,
        style=style,
        drifts=False,
        reader=readings.quality(name),
        **{"source": EXAM, **more},
    )


_NATS = {"unit": "nats", "units": {"": 1.0, "nats": 1.0}}
QUALITY = (
    _quality(
        "kl",
        "KL",
        "KL",
        "mean divergence of the predictions from the float32 reference",
        "mean over positions of KL(reference ‖ variant)",
        Style.SCIENTIFIC,
        **_NATS,
        better="less",
        limit="--max-kl",
        example="0.01",
        objective="quality",
        page=True,
    ),
    _quality(
        "kl_p99",
        "KL p99",
        "KL p99",
        "the divergence that 99 % of the positions do not exceed",
        "99th percentile over positions of KL(reference ‖ variant)",
        Style.SCIENTIFIC,
        **_NATS,
        better="less",
    ),
    _quality(
        "top1",
        "top-1",
        "Top-1",
        "share of positions whose most probable token is the float32 reference's",
        "positions with the same most probable token / all positions",
        Style.FINE_PERCENT,
        better="more",
        limit="--min-top1",
        example="0.99",
        page=True,
    ),
    _quality(
        "perplexity",
        "perplexity",
        "Perplexity",
        "how little the text's own next tokens are expected, on the reference's text",
        "exp of the mean negative log-probability of the text's next tokens",
        Style.NUMBER,
        units={"": 1.0},
        better="less",
        page=False,
    ),
    _quality(
        "greedy_match",
        "greedy match",
        "Greedy match",
        "share of generated tokens before the first one that differs from the reference's",
        "tokens before the first difference / all tokens, over the first three prompts of every launch",
        Style.PERCENT,
        source="ids of the launches and of the float32 reference",
        better="more",
        page=False,
    ),
)
