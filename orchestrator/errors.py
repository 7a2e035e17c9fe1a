"""What goes wrong, told apart by who has to act on it."""

import errno

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
