"""How fast tokens come."""

from __future__ import annotations

from typing import Any

from orchestrator.results.metrics.metric import RATES, TIMES, Group, Metric, Over, Style

HARNESS = "step times of the harness, inside the engine's process"


def _rate(key: str, title: str, short: str, meaning: str, formula: str, **more: Any) -> Metric:
    """Tokens per second, of every iteration."""
    return Metric(
        key=key,
        field=key,
        title=title,
        short=short,
        meaning=meaning,
        formula=formula,
        source=HARNESS,
        group=Group.TIME,
        unit="tokens/s",
        units=RATES,
        display="tok/s",
        better="more",
        of_launch=lambda launch: launch.speed[key],
        comparable=True,
        absent="n/a",
        **{"style": Style.INTERVAL, **more},
    )


def _time(field: str, title: str, short: str, meaning: str, formula: str, **more: Any) -> Metric:
    """Seconds: of every iteration or, with `over`, one number a launch."""
    return Metric(
        key=field.removesuffix("_s"),
        field=field,
        title=title,
        short=short,
        meaning=meaning,
        formula=formula,
        source=HARNESS,
        group=Group.TIME,
        unit="s",
        units=TIMES,
        better="less",
        **{
            "display": "ms",
            "style": Style.NUMBER,
            "of_launch": lambda launch: launch.speed[field],
            "absent": "n/a",
            **more,
        },
    )


TIME = (
    _rate(
        "decode_tps",
        "decode speed",
        "Decode",
        "tokens per second of the whole batch from the first token to the last",
        "b · (n − 1) / (tₙ − t₁)",
        style=Style.SPEED,
        limit="--min-tps",
        example="20",
        objective="decode_tps",
        table=False,  # the report opens with a table of its own
        page=True,
        terminal=True,
    ),
    _rate(
        "prefill_tps",
        "prefill speed",
        "Prefill",
        "prompt tokens per second of the whole batch until the first token",
        "b · p / t₁",
        page=True,
    ),
    _rate(
        "e2e_tps",
        "throughput",
        "End to end",
        "new tokens per second of the whole batch from submit to the last token, prompt included",
        "b · n / tₙ, the figure that older tables print",
        limit="--min-throughput",
        example="20",
        objective="throughput",
        table=False,  # `settings` prints its mean
        page=False,
    ),
    _time(
        "ttft_s",
        "TTFT",
        "TTFT",
        "time from submit to the first token",
        "t₁",
        style=Style.MEDIAN,
        limit="--max-ttft",
        example="200ms",
        comparable=True,
        page=True,
        terminal=True,
    ),
    _time(
        "itl_s",
        "ITL",
        "Step",
        "median time between tokens",
        "median of tₖ₊₁ − tₖ",
        style=Style.MEDIAN,
        limit="--max-itl",
        example="20ms",
        comparable=True,
        page=False,
    ),
    _time(
        "itl_p90_s",
        "ITL p90",
        "p90",
        "the time between tokens that 90 % of them do not exceed",
        "nearest rank over all iterations of a launch, from 64 steps on",
        over=Over.MEDIAN,
    ),
    _time(
        "itl_p99_s",
        "ITL p99",
        "p99",
        "the time between tokens that 99 % of them do not exceed",
        "nearest rank over all iterations of a launch, from 662 steps on",
        over=Over.MEDIAN,
        page=False,
    ),
    _time(
        "load_s",
        "load time",
        "Load",
        "time to load the model, without imports",
        "`load()` of the engine",
        display="s",
        over=Over.MEDIAN,
        of_launch=lambda launch: launch.result.load_s,
        absent="?",
        page=False,
    ),
    _time(
        "first_generate_s",
        "first generation",
        "First",
        "time of the very first iteration, before anything is warm",
        "the very first iteration",
        display="s",
        over=Over.MEDIAN,
        of_launch=lambda launch: launch.result.first_generate_s,
        absent="?",
    ),
)
