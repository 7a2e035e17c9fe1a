"""The support matrix, generated from the engine.yaml files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from orchestrator.engines import DEVICES, PRECISIONS, Engine
from orchestrator.markdown import table

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
