"""`completion`: the script by which a shell completes this command line."""

from __future__ import annotations

import click

from orchestrator import completion, outcomes


@click.command("completion")
@click.argument("shell", type=click.Choice(completion.SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell: commands, options, engines, variants, models, devices, rows.

    It completes `benchmark.sh` by whatever path it is called.

    \b
    source <(./benchmark.sh completion bash)    in this bash; for good, in ~/.bashrc
    source <(./benchmark.sh completion zsh)     in this zsh, after compinit; for good, in ~/.zshrc
    ./benchmark.sh completion fish | source     in this fish; for good:
    ./benchmark.sh completion fish > ~/.config/fish/completions/benchmark.sh.fish
    """
    click.echo(completion.script(shell, ctx.find_root().command))
    return outcomes.EXIT_OK
