"""What the suite says to a user: its progress, and the one line of a refusal."""

import io

from orchestrator.base.progress import Progress


def progress() -> tuple[Progress, io.StringIO]:
    """A Progress and the text it prints."""
    text = io.StringIO()
    return Progress(text), text


def complaint(called):
    """The one line of a refusal, without the lines that say which device and isolation were taken."""
    code, out, lines = called
    assert (code, out) == (2, "")
    said = [line for line in lines if not line.startswith(("Device: ", "isolation: "))]
    assert len(said) == 1, said
    assert said[0].startswith("error: ")
    return said[0].removeprefix("error: ")
