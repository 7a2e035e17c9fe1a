"""Pipe tables in which no text of a model, an engine or a log acts as markup."""

from __future__ import annotations

import pandas as pd

from orchestrator.base.escape import escape


def pipe_table(frame: pd.DataFrame, *, escaped: bool = True) -> str:
    """A pipe table; `escaped=False` is for cells that are markup already."""
    if escaped:
        frame = frame.map(escape)
    return frame.to_markdown(index=False, disable_numparse=True)
