"""What goes wrong, told apart by who has to act on it."""


class UserError(Exception):
    """Bad input. The message is one clear line: what, where, what to do. The command ends with exit code 2."""


class CellError(Exception):
    """One cell cannot be measured; the others go on. `outcome` is a word of `outcomes.OUTCOMES`."""

    def __init__(self, outcome: str, reason: str):
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
