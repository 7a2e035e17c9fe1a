"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli import completion
from orchestrator.results.metrics.registry import METRICS

DEVICE = click.option(
    "--device", "-d", default="auto", show_default=True, shell_complete=completion.device,
    help="auto, cpu, cuda, rocm or metal",
)  # fmt: skip
GPUS = click.option("--gpus", help="which GPUs: indices or UUIDs, for example 0,1")
ISOLATION = click.option(
    "--isolation", default="auto", show_default=True, shell_complete=completion.isolation, help="auto, docker or venv"
)
THREADS = click.option("--threads", type=click.IntRange(1), help="CPU threads  [default: physical cores]")
WAIT = click.option(
    "--wait", "wait_s", type=click.IntRange(0), default=0, show_default=True,
    help="seconds to wait for a device that another command holds, before exit code 75",
)  # fmt: skip
FORMAT = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="with json, stdout holds nothing else",
)  # fmt: skip

LEAST_MEMORY = 64 << 20  # Python does not start with less


def size(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """ "12GB" -> bytes."""
    if text is None:
        return None
    try:
        limit = int(METRICS["memory"].parse(text).value * 2**20)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if limit < LEAST_MEMORY:
        raise click.BadParameter(f"expected at least {LEAST_MEMORY >> 20}MiB")
    return limit


def share(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """ "5%" or "0.05" -> 0.05."""
    if text is None:
        return None
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1
    if not 0 <= value < 1:
        raise click.BadParameter("expected a share between 0 and 1, for example 5% or 0.05")
    return value


RESULTS_ARGUMENT = click.Path(path_type=Path, exists=True)  # a results directory, a merged one, or a store file
