"""Tables read back from a Markdown report, and a text that means to break one."""

import re

HOSTILE = "x|y\n# <script>alert(1)</script> [a](javascript:1) `code` *b* _c_"


def table_after(text, heading):
    """The cells of the first pipe table below `heading`, header first."""
    _, found, rest = text.partition(heading)
    assert found, heading
    lines = []
    for line in rest.splitlines():
        if line.startswith("|"):
            lines.append([each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif lines:
            break
    return [line for line in lines if not re.fullmatch(r":?-+:?", line[0])]
