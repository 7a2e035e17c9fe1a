"""The commands by name. A command's module is imported only when the command is used: `--help` needs none."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from orchestrator.base.errors import unknown

SCRIPT = "benchmark.sh"
VARIABLE = "_BENCHMARK_SH_COMPLETE"  # the environment variable by which a shell requests completions
DEFAULT = "run"
COMMANDS = {  # name: (module, first sentence of its help)
    "audit": (
        "answer_commands",
        "Judge a CSV of anyone's published speeds: which of them does the memory bandwidth forbid?",
    ),
    "build": ("engine_commands", "Only build the images (or virtual environments)."),
    "check": ("engine_commands", "Check that one engine's folder keeps the contract."),
    "choose": ("answer_commands", "Say which row to take under given limits, and why not the others."),
    "compare": ("answer_commands", "Say whether results have become faster or slower, row by row."),
    "completion": (
        "completion",
        "Print the completion script of a shell: commands, options, engines, variants, models, devices, rows.",
    ),
    "doctor": ("machine_commands", "Say what this host can and cannot do, with a remedy for each finding."),
    "limits": ("machine_commands", "Measure this device's memory bandwidth and matrix product peaks."),
    "list": ("engine_commands", "Show the engines and what they support."),
    "merge": ("result_commands", "Join several results in one report, or collect them in one file."),
    "new": ("engine_commands", "Lay out the folder of a new engine, which runs and passes `check` as it is."),
    "replay": ("answer_commands", "Measure a recorded row again, and say whether its speed is reproduced."),
    "report": ("result_commands", "Write the report of results anew, or print their tables for pasting."),
    "run": ("run_command", "Build, convert, measure, merge and report (the default command)."),
}


def program() -> str:
    """The name by which the suite was called: the package's console script, or benchmark.sh."""
    name = Path(sys.argv[0]).name
    return name if name == "llm-bench" else SCRIPT


class CommandGroup(click.Group):
    """The group of COMMANDS; `./benchmark.sh --engines all` means `./benchmark.sh run --engines all`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"orchestrator.cli.{COMMANDS[cmd_name][0]}")
        return getattr(module, f"{cmd_name}_command")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        completing_a_command = not args and ctx.resilient_parsing
        names_an_option = bool(args) and args[0].startswith("-") and args[0] not in ("--help", "-h", "--version")
        if names_an_option or (not args and not completing_a_command):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise unknown("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        items = [CompletionItem(name, help=about) for name, (_, about) in COMMANDS.items()]
        offered = [item for item in items if item.value.startswith(incomplete)]
        run = self.get_command(ctx, DEFAULT)
        if run is not None and incomplete.startswith("-"):
            offered += click.Command.shell_complete(self, ctx, incomplete)
            offered += run.shell_complete(click.Context(run, parent=ctx, info_name=DEFAULT), incomplete)
        return offered
