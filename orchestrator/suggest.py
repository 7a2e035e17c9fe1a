"""One clear line for a name that does not exist."""

import difflib
from collections.abc import Iterable

from orchestrator.errors import UserError


def unknown(what: str, given: str, valid: Iterable[str]) -> UserError:
    """The error to raise for `given`: closest match first, then all valid choices."""
    names = list(valid)
    folded = {name.lower(): name for name in names}
    closest = [folded[name] for name in difflib.get_close_matches(given.lower(), folded, n=1, cutoff=0.5)]
    ordered = closest + [name for name in names if name not in closest]
    hint = f"did you mean {closest[0]!r}? " if closest else ""
    return UserError(f"unknown {what} {given!r}: {hint}valid: {', '.join(ordered) or 'none'}")
