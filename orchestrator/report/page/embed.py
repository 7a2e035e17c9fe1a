"""Embeds data and libraries in one HTML file, such that nothing in them acts as markup and nothing is loaded."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from importlib.resources import files
from typing import Any

UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
LIBRARIES = {"datatables": ("itables", "html/dt_bundle.js"), "plotly": ("plotly", "package_data/plotly.min.js")}
TABLE_STYLE = ("itables", "html/dt_bundle.css")


def as_json(value: Any) -> str:
    """JSON for a `<script type="application/json">`, escaped so that it cannot end the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character, escaped in UNSAFE.items():
        text = text.replace(character, escaped)
    return text


@functools.cache
def packed(library: str) -> str:
    """A library's script, gzipped, as base64: a third of the size, and free of markup."""
    package, name = LIBRARIES[library]
    return base64.b64encode(gzip.compress((files(package) / name).read_bytes(), mtime=0)).decode("ascii")


@functools.cache
def table_style() -> str:
    """The table library's style sheet. Raises ValueError if it could end a style element or import another sheet."""
    package, name = TABLE_STYLE
    text = (files(package) / name).read_text(encoding="utf-8")
    if "</style" in text.lower() or "@import" in text.lower():
        raise ValueError(f"{package}/{name} cannot stand in a page")
    return text


def policy(script: str) -> str:
    """The Content-Security-Policy of a page whose one inline script is `script`.

    It allows no request. `blob:` covers the libraries that the script unpacks and the pictures that charts are saved
    as; inline styles are needed by the charts.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' blob:; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
