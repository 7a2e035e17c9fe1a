"""CSV that a spreadsheet opens without running what a model, an engine or a log slipped in."""

from __future__ import annotations

import pandas as pd

STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as CSV. A text that a spreadsheet could take for a formula gets an apostrophe before it.

    The rule is OWASP's (https://owasp.org/www-community/attacks/CSV_Injection); numbers and a lone dash stay as they
    are.
    """

    def safe(column: pd.Series) -> pd.Series:
        return column if pd.api.types.is_numeric_dtype(column) else column.map(_safe)

    return frame.rename(columns=_safe).apply(safe).to_csv(index=False)


def _safe(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(STARTS) or value == "-":
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value
