"""Shell completion: the scripts, and the values that options take."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from orchestrator.base import outcomes
from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.cli.commands import SCRIPT, VARIABLE, program
from orchestrator.machine import detect
from orchestrator.models.synthetic import shapes
from orchestrator.plan import engine_yaml, profiles
from orchestrator.plan.engine import PRECISIONS, select_engines
from orchestrator.results import journal
from orchestrator.sandbox.task import ISOLATIONS

Complete = Callable[[click.Context, click.Parameter, str], list]

# bash breaks words at ':' and '=', so that its COMP_WORDS do not give the original words: the line is split here
# instead, and of a value only what follows the last ':' is returned.
BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(env COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete %(program)s 2>/dev/null)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain)
                COMPREPLY+=("$value")
                if [[ $value == *: ]]; then compopt -o nospace; fi ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Quiet(ShellComplete):
    """Completes an invalid command line to nothing, without an error message."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        with suppress(UserError, click.ClickException, OSError):
            return super().get_completions(args, incomplete)
        return []

    def source_vars(self) -> Any:
        return {**super().source_vars(), "program": shlex.quote(_path())}


class Bash(Quiet, BashComplete):
    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        while words and re.match(r"\w+=", words[0]):  # NAME=value before the command
            words.pop(0)
        value = incomplete.partition("=")[2] if re.match("--?[a-z_-]+=", incomplete) else incomplete
        self._typed = value[: value.rfind(":") + 1] if ":" in os.environ.get("COMP_BREAKS", ":") else ""
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value.removeprefix(self._typed)}"


class Zsh(Quiet, ZshComplete):
    source_template = ZshComplete.source_template.replace(
        "    (( ! $+commands[%(prog_name)s] )) && return 1\n", ""
    ).replace("zsh_complete %(prog_name)s", "zsh_complete %(program)s 2>/dev/null")


class Fish(Quiet, FishComplete):
    source_template = FishComplete.source_template.replace(
        "(commandline -t) %(prog_name)s)", "(commandline -t) %(program)s 2>/dev/null)"
    ).replace('string split ","', 'string split -m 1 ","')  # a list holds commas as well


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}
for shell_class in SHELLS.values():
    add_completion_class(shell_class)


def script(shell: str, cli: click.Command) -> str:
    """The completion script, for the user's shell to source."""
    return SHELLS[shell](cli, {}, program(), VARIABLE).source()


def _path() -> str:
    """The program that the script calls: the one that printed it, which need not be on the PATH."""
    return str(ROOT / SCRIPT) if program() == SCRIPT else str(Path(sys.argv[0]).absolute())


def one_of(names: Iterable[str]) -> Complete:
    """Completes one name."""
    return lambda _ctx, _parameter, incomplete: [name for name in names if name.startswith(incomplete)]


def some_of(names: Callable[[click.Context], Iterable[str]]) -> Complete:
    """Completes the last name of a comma-separated list."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        head, comma, last = incomplete.rpartition(",")
        taken = head.split(",")
        return [f"{head}{comma}{name}" for name in names(ctx) if name.startswith(last) and name not in taken]

    return complete


def model(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list:
    """tiny, synthetic:<shape>, or a directory."""
    names = ["tiny", "synthetic:"]
    if incomplete.startswith("synthetic:"):
        names = [f"synthetic:{name}" for name in (*shapes.names(), *shapes.architectures())]
    matches = [name for name in names if name.startswith(incomplete)]
    return matches or [CompletionItem(incomplete, type="dir")]


def rows(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The rows, ENGINE:VARIANT, of the results directory that the command names."""
    directory = _argument(ctx, "result")
    if directory is None or not (Path(directory) / journal.NAME).is_file():
        return []
    cells = [cell for record in journal.read(Path(directory)) if record["kind"] == "run" for cell in record["cells"]]
    names = dict.fromkeys(f"{cell['engine']}:{cell['variant']}" for cell in cells)
    return [name for name in names if name.startswith(incomplete)]


def _argument(ctx: click.Context, name: str) -> Any:
    """A command's first argument. click leaves it in ctx.args if the last option has no value yet."""
    return ctx.params.get(name) or (ctx.args[0] if ctx.args else None)


def _variants(ctx: click.Context) -> list[str]:
    names = ctx.params.get("engine_names") or _argument(ctx, "engine_name") or "all"
    selected = select_engines(names, engine_yaml.discover())
    return ["default", "all", *dict.fromkeys(name for engine in selected for name in engine.variants)]


engine = some_of(lambda _ctx: ["all", *engine_yaml.discover()])
variants = some_of(_variants)
precisions = some_of(lambda _ctx: ["all", *PRECISIONS])
device = one_of(["auto", *detect.KINDS])
kind = one_of(detect.KINDS)
profile = one_of(profiles.PROFILES)
isolation = one_of(ISOLATIONS)


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell: commands, options, engines, variants, models, devices, rows.

    It completes `benchmark.sh`, or `llm-bench` where that printed it, by whatever path it is called.

    \b
    source <(./benchmark.sh completion bash)    in this bash; for good, in ~/.bashrc
    source <(./benchmark.sh completion zsh)     in this zsh, after compinit; for good, in ~/.zshrc
    ./benchmark.sh completion fish | source     in this fish; for good:
    ./benchmark.sh completion fish > ~/.config/fish/completions/benchmark.sh.fish
    """
    click.echo(script(shell, ctx.find_root().command))
    return outcomes.EXIT_OK
