"""The command line. Every error is one line that names what to do next."""

from __future__ import annotations

import sys

import click
from click.shell_completion import CompletionItem

from orchestrator.base import outcomes
from orchestrator.base.errors import CellError, UserError, is_disk_full, unknown
from orchestrator.base.escape import plain
from orchestrator.base.paths import Workspace
from orchestrator.base.signals import terminated_as_interrupt
from orchestrator.cli import answer_commands, completion, engine_commands, machine_commands, result_commands
from orchestrator.cli.completion import completion_command
from orchestrator.cli.run_command import run_command


class DefaultToRun(click.Group):
    """`./benchmark.sh --engines all` is `./benchmark.sh run --engines all`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        completing_a_command = not args and ctx.resilient_parsing
        if not completing_a_command and (not args or (args[0].startswith("-") and args[0] not in ("--help", "-h"))):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            run_command = self.get_command(ctx, "run")
            found += run_command.shell_complete(click.Context(run_command, parent=ctx, info_name="run"), incomplete)
        return found


@click.group(cls=DefaultToRun, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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


for command in (
    run_command,
    *engine_commands.COMMANDS,
    *machine_commands.COMMANDS,
    *result_commands.COMMANDS,
    *answer_commands.COMMANDS,
    completion_command,
):
    cli.add_command(command)


def main(workspace: Workspace | None = None) -> None:
    """Run the command line, by default in this checkout's workspace; what it raises becomes a line and an exit code."""
    try:
        with terminated_as_interrupt():  # else SIGTERM ends a `check` and leaves its container running
            code = cli.main(
                prog_name=completion.PROGRAM, complete_var=completion.VARIABLE, standalone_mode=False,
                obj=workspace or Workspace.of_checkout(),
            )  # fmt: skip
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
