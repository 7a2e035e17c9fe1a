"""The support matrix, generated from the engine.yaml files."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from orchestrator.engines import DEVICES, PRECISIONS, Engine
from orchestrator.markdown import table
from orchestrator.terminal import WIDTH, console, plain

SIGNS = {"supported": "yes", "caveat": "yes, see note", "planned": "planned", "unsupported": "no"}
LEGEND = "A cell names the variants that run; `no`, `planned` and footnotes say why the others do not."
BEGIN, END = "<!-- support matrix: begin (./benchmark.sh list --update README.md) -->", "<!-- support matrix: end -->"


def frame(engines: list[Engine], device: str) -> tuple[pd.DataFrame, list[str]]:
    """Engine x precision for one kind of device, and the footnotes."""
    notes: list[str] = []

    def mark(note: str) -> str:
        if note not in notes:
            notes.append(note)
        return f"[{notes.index(note) + 1}]"

    lines = []
    for engine in engines:
        entry = engine.devices.get(device)
        cells = [engine.title + ("" if entry is None or entry.verified else f" {mark(_UNVERIFIED)}"), engine.version]
        for precision in PRECISIONS:
            found = [variant for variant in engine.variants.values() if variant.precision == precision]
            parts = []
            for variant in found:
                support = engine.support(variant, device)
                note = f"{support.note} ({support.link})" if support.link else support.note
                label = variant.name if support.runs else SIGNS[support.state]
                parts.append(label + (f" {mark(note)}" if note and support.state != "supported" else ""))
            cells.append(", ".join(dict.fromkeys(parts)) or "-")
        lines.append(cells)
    return pd.DataFrame(lines, columns=["Engine", "Version", *PRECISIONS]), notes


_UNVERIFIED = "complete, but no author has run it on this kind of device yet"


def render(
    engines: list[Engine], device: str, stream: TextIO | None = None, env: Mapping[str, str] | None = None
) -> str:
    """The matrix of one kind of device for a terminal: at most 100 columns, longer links excepted."""
    data, notes = frame(engines, device)
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left")
    shown.add_column("engine", max_width=24, overflow="fold")
    for precision in PRECISIONS:
        shown.add_column(precision, overflow="fold", ratio=1)
    for engine, line in zip(engines, data.itertuples(index=False), strict=True):
        mark = re.search(r" (\[\d+\])$", line[0])
        name = Text(engine.name, style="bold").append(f" {mark[1]}" if mark else "", style="yellow")
        name.append(f"\n{plain(engine.title)} {plain(engine.version)}", style="dim")
        shown.add_row(name, *(_styled(cell) for cell in line[2:]))
    screen = console(stream, env)
    with screen.capture() as printed:
        screen.print(Text(f"on {device}:", style="bold"))
        screen.print(shown)
        for number, note in enumerate(notes, 1):
            _print_note(screen, number, plain(note))
        screen.print(Text("no: does not run here, the note says why; -: the engine has no such precision", style="dim"))
    return "\n".join(line.rstrip() for line in printed.get().rstrip().split("\n"))


def _styled(cell: str) -> Text:
    """Green runs, yellow runs with a note, grey does not run."""
    parts = []
    for part in cell.split(", "):
        runs = part.split(" ")[0] not in ("no", "planned", "-")
        parts.append(Text(plain(part), style="bright_black" if not runs else "yellow" if "[" in part else "green"))
    return Text("\n").join(parts)


def _print_note(screen, number: int, note: str) -> None:
    """A note with its link on a line of its own, so that it can be clicked."""
    text, link = re.fullmatch(r"(.*?)(?: \((https?://\S+)\))?", note, re.DOTALL).groups()
    head = f"[{number}]".ljust(5)
    wrapped = textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * 5, break_on_hyphens=False)
    for line in wrapped:
        screen.print(Text(line), soft_wrap=True)
    if link:
        screen.print(Text(" " * 5 + link, style="dim"), soft_wrap=True)


def markdown(engines: list[Engine]) -> str:
    """The matrix of every kind of device, with legend and footnotes."""
    parts = [LEGEND]
    for device in DEVICES:
        data, notes = frame(engines, device)
        parts += [f"**{device}**", table(data)]
        parts += ["\n".join(f"[{number}] {note}  " for number, note in enumerate(notes, 1))] if notes else []
    return "\n\n".join(parts) + "\n"


def update(path: Path, engines: list[Engine]) -> None:
    """Replace the matrix between its two marks in `path`. Raises ValueError where a mark is missing."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the marks {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{markdown(engines)}{END}{after}", encoding="utf-8")
