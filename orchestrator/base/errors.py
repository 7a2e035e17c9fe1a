"""Errors, by who has to act on them."""

import difflib
import errno
from collections.abc import Iterable

NO_SPACE = "no space left on device"  # the message of every libc


class UserError(Exception):
    """Bad input. The message is one line: what, where, what to do. The command ends with exit code 2."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.splitlines()))  # quoted names may contain newlines


class CellError(Exception):
    """One cell cannot be measured; the others continue. `outcome` is one of `outcomes.OUTCOMES`."""

    def __init__(self, outcome: str, reason: str):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk or quota caused the error."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full_or(outcome: str, text: str) -> str:
    """`disk_full` if `text`, the last output of a failed process, names that cause; else `outcome`."""
    return "disk_full" if NO_SPACE in text.lower() else outcome


def unknown(what: str, given: str, valid: Iterable[str]) -> UserError:
    """The error for an unknown `given`: closest match first, then all valid choices."""
    names = list(valid)
    folded = {name.lower(): name for name in names}
    closest = [folded[name] for name in difflib.get_close_matches(given.lower(), folded, n=1, cutoff=0.5)]
    ordered = closest + [name for name in names if name not in closest]
    hint = f"did you mean {closest[0]!r}? " if closest else ""
    return UserError(f"unknown {what} {given!r}: {hint}valid: {', '.join(ordered) or 'none'}")
