"""Makes text from a model, an engine or a log safe for a terminal, a page, Markdown, a spreadsheet or one line.

All text from outside passes through one of these functions before it is shown.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# CSI, OSC and the other strings of ECMA-48, in 7-bit and 8-bit form; then every two-byte escape.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.MULTILINE,
)
# The rest of C0 and C1, and bidirectional marks; not tab and newline.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: object, instead: str = "") -> str:
    """`text` without escape sequences, and with `instead` for control characters and bidirectional marks.

    Tabs and newlines stay. A line that was rewritten in place (`\\r`, as by progress bars) keeps its last state.
    """
    lines = _ESCAPES.sub("", str(text)).replace("\r\n", "\n").split("\n")
    return "\n".join(_CONTROLS.sub(instead, line.rstrip("\r").rpartition("\r")[2]) for line in lines)


def log_text(log: str) -> str:
    """A log for a page: no colours, every state of a rewritten line on its own line, U+FFFD for control characters."""
    return plain(re.sub("\r\n?", "\n", log), "\ufffd")


def visible(text: object) -> str:
    """`text` with "?" for every unprintable character except newlines."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in str(text))


STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as CSV. Text that a spreadsheet could read as a formula gets an apostrophe in front.

    The rule is OWASP's (https://owasp.org/www-community/attacks/CSV_Injection); numbers and a single dash are exempt.
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
    """Text for a Markdown table cell or paragraph."""
    safe = html.escape(str(text), quote=False)
    for character in "\\`*_[]|":
        safe = safe.replace(character, "\\" + character)
    return safe.replace("\r", "").replace("\n", "<br>")


def one_line(text: object, limit: int = 200) -> str:
    """`text` on one line: unprintable characters become spaces, the end is cut at `limit`."""
    line = " ".join("".join(character if character.isprintable() else " " for character in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def markup_line(text: object, limit: int) -> str:
    """One line for consumers that interpret tags and entities, such as the charts."""
    return html.escape(one_line(text, limit), quote=False)


def first_line(reason: str | None) -> str:
    """The most informative line of a reason: the last one of a traceback, else the first."""
    lines = [line for line in (reason or "").splitlines() if line.strip()]
    if not lines:
        return ""
    return (lines[-1] if any(line.startswith("Traceback") for line in lines) else lines[0])[:300]
