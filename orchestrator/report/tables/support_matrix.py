"""The support matrix, generated from the engine.yaml files."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TextIO

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.base.escape import plain
from orchestrator.base.terminal import WIDTH, console
from orchestrator.models.synthetic import shapes
from orchestrator.plan.engine import DEVICES, PRECISIONS, WRONG, Engine, Support
from orchestrator.plan.engine_yaml import real_engines
from orchestrator.report.tables.markdown_table import pipe_table

SIGNS = {"supported": "yes", "caveat": "yes, see note", "planned": "planned", "unsupported": "no", WRONG: "wrong"}
LEGEND = (
    "A cell names the variants that run; `no`, `planned` and footnotes say why the others do not. Verified: when it "
    "was run on this kind of device, on what, and where the results are."
)


class _Notes:
    """Footnotes in the order of first use; equal texts share a number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def mark_support(self, support: Support) -> str:
        """The mark of the reason, with its link; "" for plain support."""
        if not support.note or support.state == "supported":
            return ""
        return " " + self.mark(f"{support.note} ({support.link})" if support.link else support.note)


def frame(engines: list[Engine], device: str) -> tuple[pd.DataFrame, list[str]]:
    """Engine x precision for one kind of device, and the footnotes."""
    notes, lines = _Notes(), []
    for engine in engines:
        cells = [engine.title, engine.version_on(device), _verified(engine, device, notes)]
        for precision in PRECISIONS:
            variants = [variant for variant in engine.variants.values() if variant.precision == precision]
            parts = []
            for variant in variants:
                support = engine.support(variant, device)
                parts.append((variant.name if support.runs else SIGNS[support.state]) + notes.mark_support(support))
            cells.append(", ".join(dict.fromkeys(parts)) or "-")
        lines.append(cells)
    return pd.DataFrame(lines, columns=["Engine", "Version", "Verified", *PRECISIONS]), notes.texts


def architectures(engines: list[Engine]) -> tuple[pd.DataFrame, list[str]]:
    """Engine x model architecture, as the folders state it, and the footnotes."""
    notes, names = _Notes(), [name.removeprefix("arch-") for name in shapes.architectures()]
    lines = []
    for engine in engines:
        cells = [engine.title]
        for support in map(engine.architectures.get, names):
            cells.append("not checked" if support is None else SIGNS[support.state] + notes.mark_support(support))
        lines.append(cells)
    return pd.DataFrame(lines, columns=["Engine", *names]), notes.texts


def _verified(engine: Engine, device: str, notes: _Notes) -> str:
    """The date on which it was run on this kind of device, or `unverified`; "-" where it does not run at all."""
    entry = engine.devices.get(device)
    if entry is None or not entry.support.runs:
        return "-"
    if not isinstance(entry.verified, str):
        return "-" if entry.verified else f"unverified {notes.mark(_UNVERIFIED)}"
    return f"{entry.verified.partition(',')[0]} {notes.mark(entry.verified)}"


_UNVERIFIED = "complete, but no author has run it on this kind of device yet"


def render(
    engines: list[Engine], device: str, stream: TextIO | None = None, env: Mapping[str, str] | None = None
) -> str:
    """The matrix of one kind of device for a terminal: at most 100 columns, longer links excepted."""
    data, notes = frame(engines, device)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left")
    table.add_column("engine", max_width=24, overflow="fold")
    for precision in PRECISIONS:
        table.add_column(precision, overflow="fold", ratio=1)
    verified = data.pop("Verified")
    for engine, line, when in zip(engines, data.itertuples(index=False), verified, strict=True):
        mark = re.search(r" (\[\d+\])$", when)
        name = Text(engine.name, style="bold").append(f" {mark[1]}" if mark else "", style="yellow")
        name.append(f"\n{plain(engine.title)} {plain(engine.version_on(device))}", style="dim")
        table.add_row(name, *(_styled(cell) for cell in line[2:]))
    screen = console(stream, env)
    with screen.capture() as printed:
        screen.print(Text(f"on {device}:", style="bold"))
        screen.print(table)
        for number, note in enumerate(notes, 1):
            _print_note(screen, number, plain(note))
        screen.print(Text("no: does not run here, the note says why; -: the engine has no such precision", style="dim"))
    return "\n".join(line.rstrip() for line in printed.get().rstrip().split("\n"))


def _styled(cell: str) -> Text:
    """Green: runs; yellow: runs, with a note; grey: does not run."""
    parts = []
    for part in cell.split(", "):
        runs = part.split(" ")[0] not in ("no", "planned", "-")
        parts.append(Text(plain(part), style="bright_black" if not runs else "yellow" if "[" in part else "green"))
    return Text("\n").join(parts)


def _print_note(screen: Console, number: int, note: str) -> None:
    """Prints a note, with its link unwrapped on a line of its own, so that it can be clicked."""
    link = re.search(r" \((https?://\S+)\)\Z", note)
    text, head = note[: link.start()] if link else note, f"[{number}]".ljust(5)
    wrapped = textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * 5, break_on_hyphens=False)
    for line in wrapped:
        screen.print(Text(line), soft_wrap=True)
    if link:
        screen.print(Text(" " * 5 + link[1], style="dim"), soft_wrap=True)


def markdown(engines: list[Engine]) -> str:
    """The matrix of every kind of device, and that of the model architectures, with legend and footnotes."""
    about = (
        "**model architectures** (`./benchmark.sh check ENGINE --architectures` compares each with the float32 "
        "reference; what is not checked is tried)"
    )
    return "\n\n".join([devices_markdown(engines), about, architectures_markdown(engines)]) + "\n"


def devices_markdown(engines: list[Engine], heading: str = "**{}**") -> str:
    """Legend, and for every kind of device a table of engine x precision with its footnotes, under a `heading`."""
    parts = [LEGEND]
    for device in DEVICES:
        data, notes = frame(engines, device)
        parts += [heading.format(device), pipe_table(data), *_footnotes(notes)]
    return "\n\n".join(parts)


def architectures_markdown(engines: list[Engine]) -> str:
    """The table of engine x model architecture with its footnotes."""
    data, notes = architectures(engines)
    return "\n\n".join([pipe_table(data), *_footnotes(notes)])


def _footnotes(texts: list[str]) -> list[str]:
    return ["\n".join(f"[{number}] {text}  " for number, text in enumerate(texts, 1))] if texts else []


def support_matrix() -> str:
    """The matrix of all engines that are more than a test, as Markdown."""
    return markdown(real_engines())
