"""Markdown in which nothing that came from a model, an engine or a log can act as markup."""

from __future__ import annotations

import html

import pandas as pd


def escape(text: object) -> str:
    """Text for a table cell or a paragraph."""
    plain = html.escape(str(text), quote=False)
    for character in "\\`*_[]|":
        plain = plain.replace(character, "\\" + character)
    return plain.replace("\r", "").replace("\n", "<br>")


def table(frame: pd.DataFrame, *, escaped: bool = True) -> str:
    """A pipe table; cell texts are escaped unless they are known to be markup already."""
    if escaped:
        frame = frame.map(escape)
    return frame.to_markdown(index=False, disable_numparse=True)
