"""What goes wrong, told apart by who has to act on it."""

import difflib
import errno
from collections.abc import Iterable

NO_SPACE = "no space left on device"  # as every libc says it


class UserError(Exception):
    """Bad input. The message is one clear line: what, where, what to do. The command ends with exit code 2."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.splitlines()))  # what it quotes, a name from a file, may hold several


class CellError(Exception):
    """One cell cannot be measured; the others go on. `outcome` is a word of `outcomes.OUTCOMES`."""

    def __init__(self, outcome: str, reason: str):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


def is_disk_full(error: BaseException) -> bool:
    """True for an OSError that a full disk, or a full quota, causes."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full_or(outcome: str, text: str) -> str:
    """`disk_full` where `text`, what a failed process said last, gives that as the cause; else `outcome`."""
    return "disk_full" if NO_SPACE in text.lower() else outcome


def unknown(what: str, given: str, valid: Iterable[str]) -> UserError:
    """The error to raise for `given`: closest match first, then all valid choices."""
    names = list(valid)
    folded = {name.lower(): name for name in names}
    closest = [folded[name] for name in difflib.get_close_matches(given.lower(), folded, n=1, cutoff=0.5)]
    ordered = closest + [name for name in names if name not in closest]
    hint = f"did you mean {closest[0]!r}? " if closest else ""
    return UserError(f"unknown {what} {given!r}: {hint}valid: {', '.join(ordered) or 'none'}")
