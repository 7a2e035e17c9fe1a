"""Text from a model, an engine or a log, made safe for a terminal, a page, Markdown, a spreadsheet or one line.

Every text from outside leaves through one of these doors.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# CSI, OSC and the other strings of ECMA-48, with their 7-bit and 8-bit beginnings; then every two-byte escape.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.MULTILINE,
)
# What is left of C0 and C1, and the marks that turn the direction of writing; tab and newline stay.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: object, instead: str = "") -> str:
    """`text` without escape sequences, and with `instead` for control characters and marks of direction.

    Tabs and newlines stay. Of a line that was rewritten in place (`\\r`, as progress bars do)
    what was written last stays.
    """
    lines = _ESCAPES.sub("", str(text)).replace("\r\n", "\n").split("\n")
    return "\n".join(_CONTROLS.sub(instead, line.rstrip("\r").rpartition("\r")[2]) for line in lines)


def log_text(log: str) -> str:
    """A log to be read on a page: without a terminal's colours, every state of a rewritten line on a line of its own,
    and U+FFFD for each character that cannot be shown.
    """
    return plain(re.sub("\r\n?", "\n", log), "\ufffd")


def visible(text: object) -> str:
    """`text` with "?" for each character that cannot be seen; newlines stay."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in str(text))


STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as CSV. A text that a spreadsheet could take for a formula gets an apostrophe before it.

    The rule is OWASP's (https://owasp.org/www-community/attacks/CSV_Injection); numbers and a lone dash stay as they
    are.
    """

    def safe(column: pd.Series) -> pd.Series:
        return column if column.dtype.kind in "biuf" else column.map(_safe)

    return frame.rename(columns=_safe).apply(safe).to_csv(index=False)


def _safe(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(STARTS) or value == "-":
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def escape(text: object) -> str:
    """Text for a table cell or a paragraph of Markdown."""
    safe = html.escape(str(text), quote=False)
    for character in "\\`*_[]|":
        safe = safe.replace(character, "\\" + character)
    return safe.replace("\r", "").replace("\n", "<br>")


def one_line(text: object, limit: int = 200) -> str:
    """A name or reason from outside for one line: control characters act as spaces, what is too long is cut."""
    line = " ".join("".join(each if each.isprintable() else " " for each in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def markup_line(text: object, limit: int) -> str:
    """One line for what reads tags and entities in every text, as the charts do."""
    return html.escape(one_line(text, limit), quote=False)


def first_line(reason: str | None) -> str:
    """The telling line of a reason: a traceback tells in its last line."""
    lines = [line for line in (reason or "").splitlines() if line.strip()]
    if not lines:
        return ""
    return (lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0])[:300]
