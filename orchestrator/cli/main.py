"""The entry point of the command line. Every error is one line that names the remedy."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from orchestrator.base import outcomes
from orchestrator.base.errors import CellError, UserError, is_disk_full
from orchestrator.base.escape import plain
from orchestrator.base.paths import Workspace
from orchestrator.base.signals import terminated_as_interrupt
from orchestrator.base.version import VERSION
from orchestrator.cli.commands import VARIABLE, CommandGroup, program
from orchestrator.cli.postpone import postpone


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION)
def cli() -> None:
    """Measure LLM inference engines, each in its own container, and merge what they did.

    Without a command: `run`. Exit codes: 0 all cells ok or unsupported, 1 a cell failed, 2 usage, 3 a regression
    was shown (compare), 4 nothing meets the constraints (choose), 5 not comparable (replay), 75 device busy,
    130 interrupted.

    \b
    ./benchmark.sh                                  PyTorch and llama.cpp on the bundled model
    ./benchmark.sh --engines all --device cuda      everything on the GPU
    ./benchmark.sh --engines llamacpp --profile standard --model synthetic:llama-160m
    """


def main(workspace: Workspace | None = None) -> None:
    """Run the command line, by default in this checkout's workspace; an error becomes one line and an exit code."""
    is_completing = VARIABLE in os.environ
    if is_completing or not {"--help", "-h"}.isdisjoint(sys.argv):
        postpone("numpy", "pandas", "jinja2", "tokenizers", "jedi")
    if is_completing:
        import_module("orchestrator.cli.completion")  # registers its shells with click
    try:
        with terminated_as_interrupt():  # otherwise SIGTERM ends a `check` but leaves its container running
            target = workspace or Workspace.of_checkout()
            code = cli.main(prog_name=program(), complete_var=VARIABLE, standalone_mode=False, obj=target)
    except UserError as error:
        click.echo(plain(f"error: {error}"), err=True)
        code = outcomes.EXIT_USAGE
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()} (see --help)", err=True)
        code = outcomes.EXIT_USAGE
    except CellError as error:
        click.echo(plain(f"error: {error.outcome}: {error.reason}"), err=True)
        code = outcomes.EXIT_FAILED
    except BlockingIOError as error:
        click.echo(f"error: {error}; wait for it to end", err=True)
        code = outcomes.EXIT_BUSY
    except OSError as error:
        if not is_disk_full(error):
            raise
        click.echo(f"error: disk full: {error}; free some space and repeat", err=True)
        code = outcomes.EXIT_FAILED
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = outcomes.EXIT_INTERRUPTED
    sys.exit(code or 0)
