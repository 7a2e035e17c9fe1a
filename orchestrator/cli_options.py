"""Options that several commands share."""

from __future__ import annotations

import click

from orchestrator import completion

DEVICE = click.option(
    "--device", "-d", default="auto", show_default=True, shell_complete=completion.device,
    help="auto, cpu, cuda, rocm or metal",
)  # fmt: skip
GPUS = click.option("--gpus", help="which GPUs: indices or UUIDs, for example 0,1")
ISOLATION = click.option(
    "--isolation", default="auto", show_default=True, shell_complete=completion.isolation,
    help="auto, docker or venv",
)  # fmt: skip
THREADS = click.option("--threads", type=click.IntRange(1), help="CPU threads  [default: physical cores]")
FORMAT = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="with json, stdout holds nothing else",
)  # fmt: skip
