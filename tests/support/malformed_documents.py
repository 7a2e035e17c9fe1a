"""Documents that went wrong in ways nobody thought of: strategies for hypothesis.

The same examples on every machine; BENCH_FUZZ=20000 tries so many, and others each time.
"""

import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("BENCH_FUZZ", "150"))
fuzz = settings(
    max_examples=EXAMPLES, deadline=None, derandomize="BENCH_FUZZ" not in os.environ, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

DEEP = b"[" * 1200  # more than Python's recursion limit; the time that YAML takes grows with the square of it

NUMBERS = st.one_of(
    st.integers(), st.integers(-3, 300), st.sampled_from([2**63, 2**64, -(2**63), 10**400, 0, -1]),
    st.floats(), st.sampled_from([1e308, -0.0, 5e-324]),
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "0", "NaN", "null", "../..", "/etc/passwd", "a\nb", "\x00", "\ud800", "ok", "x" * 5000, "float32"]
    ),
)


def _nested(leaves):
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
    )


VALUES = _nested(st.none() | st.booleans() | NUMBERS | TEXTS)
SMALL_VALUES = _nested(st.none() | st.booleans() | st.integers(-3, 5) | st.floats(-1, 5) | TEXTS)  # soon done with


@st.composite
def changed(draw, document, values=VALUES):
    """`document` (JSON) with one to three of its values, at any depth, replaced, removed, doubled or moved."""
    made = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(made))
        if not places:
            break
        parent, key = draw(st.sampled_from(places))
        action = draw(st.sampled_from(["replace", "replace", "remove", "double", "add"]))
        if action == "replace":
            parent[key] = draw(values)
        elif action == "remove":
            del parent[key]
        elif action == "double" and isinstance(parent, list):
            parent.insert(key, parent[key])
        elif isinstance(parent, dict):
            parent[draw(TEXTS)] = parent[key]
    return made


def _places(value):
    """Every (container, key) within a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def text_of(value) -> str:
    """JSON as an enemy writes it: with NaN, infinities and halves of characters."""
    return json.dumps(value)


@st.composite
def torn(draw, content: bytes):
    """`content` with pieces cut out, put in or overwritten, or cut off."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(made)))
        length = draw(st.one_of(st.integers(0, 8), st.integers(0, max(1, len(made)))))
        piece = draw(
            st.one_of(st.binary(max_size=9), st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\n", b'"', b"{", DEEP]))
        )
        made[begin : begin + draw(st.sampled_from([0, length, len(piece)]))] = piece
    return bytes(made)
