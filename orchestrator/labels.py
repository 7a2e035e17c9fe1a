"""Names by which a reader tells rows apart: as short as the rows allow."""

from __future__ import annotations

from collections import Counter
from typing import Any

from orchestrator.tables import contender, telling
from orchestrator.texts import Row

MORE = ("engine_version", "source")  # added only while two rows still have the same name
IDENTITY = (
    "engine", "title", "engine_version", "variant", "precision", "scheme", "model", "device", "device_name", "machine",
    "isolation", "batch_size", "prompt_tokens", "new_tokens", "workload", "source", "image", "image_id",
)  # fmt: skip


def names(rows: list[Row]) -> list[str]:
    """One name a row: title, variant, and what else tells it apart from the others."""
    keys = telling(rows)
    found = [f"{contender(row, keys)} {row['variant']}" for row in rows]
    for key in MORE:
        count = Counter(found)
        found = [
            f"{name} · {row[key]}" if count[name] > 1 and row.get(key) else name
            for name, row in zip(found, rows, strict=True)
        ]
    return found


def identity(row: Row) -> dict[str, Any]:
    """The fields of a row that say which one it is, for JSON."""
    return {key: row.get(key) for key in IDENTITY}
