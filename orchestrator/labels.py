"""Names by which a reader tells rows apart: as short as the rows allow."""

from __future__ import annotations

from typing import Any

from orchestrator.tables import contender, telling
from orchestrator.texts import Row

IDENTITY = (
    "engine", "title", "engine_version", "variant", "precision", "scheme", "model", "device", "device_name", "machine",
    "isolation", "batch_size", "prompt_tokens", "new_tokens", "workload", "source", "image", "image_id",
)  # fmt: skip


def names(rows: list[Row]) -> list[str]:
    """One name a row: title, variant, and what else tells it apart from the others."""
    keys = telling(rows)
    return [f"{contender(row, keys)} {row['variant']}" for row in rows]


def identity(row: Row) -> dict[str, Any]:
    """The fields of a row that say which one it is, for JSON."""
    return {key: row.get(key) for key in IDENTITY}
