"""The command line as Markdown: docs/start/command_line.md is generated from the commands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click

PROGRAM = "./benchmark.sh"


def as_markdown(group: click.Group) -> str:
    """A section for each command, in alphabetical order: what it does, examples, arguments and options."""
    context = click.Context(group)
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            parts += [f"## {name}", *_section(name, command)]
    return "\n\n".join(parts) + "\n"


def _section(name: str, command: click.Command) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    usage = [f"{PROGRAM} {name}", *map(_name, arguments)]
    yield f"```sh\n{' '.join([*usage, '[OPTIONS]'] if options else usage)}\n```"
    yield from _paragraphs(command.help or "")
    if options:
        yield "\n".join(["| option | meaning |", "|---|---|", *map(_line, options)])


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of a docstring; one that Click's mark `\\b` exempts from wrapping becomes a code block."""
    for paragraph in text.split("\n\n"):
        is_verbatim, _, lines = paragraph.partition("\b\n")
        if lines and not is_verbatim.strip():
            yield f"```text\n{textwrap.dedent(lines).rstrip()}\n```"
        else:
            yield " ".join(paragraph.split())


def _line(option: click.Option) -> str:
    """One row of the table of options."""
    first, *others = [*option.opts, *option.secondary_opts]
    named = f"{first} {option.metavar}" if option.metavar else first
    names = ", ".join(f"`{name}`" for name in [named, *others])
    text = " ".join((option.help or "").split())
    if isinstance(option.type, click.Choice):
        words = ", ".join(f"`{choice}`" for choice in option.type.choices)
        text = f"{text}{': ' if text else ''}{words}"
    if option.show_default and "[default:" not in text:
        text = f"{text} [default: {_default(option)}]".strip()
    return f"| {names} | {_cell(text)} |"


def _default(option: click.Option) -> str:
    if isinstance(option.default, bool) and option.secondary_opts:
        return (option.opts if option.default else option.secondary_opts)[0].lstrip("-")
    return str(option.default)


def _name(argument: click.Argument) -> str:
    many = "..." if argument.nargs == -1 and not argument.metavar else ""
    return f"{argument.metavar or (argument.name or '').upper()}{many}"


def _cell(text: str) -> str:
    """Escape a cell's text: angle brackets would be taken for HTML, a bar for the cell's end."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
