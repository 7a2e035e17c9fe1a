"""How rows of summary.json are named, told apart and grouped."""

from __future__ import annotations

from typing import Any

from orchestrator.base.outcomes import Flag, known_flags

Row = dict[str, Any]  # the JSON of a `RowRecord`, which says what every field holds
IDENTITY = (
    "engine", "title", "engine_version", "variant", "precision", "scheme", "model", "device", "device_name", "machine",
    "isolation", "batch_size", "prompt_tokens", "new_tokens", "workload", "source", "image", "image_id",
)  # fmt: skip


def row_names(rows: list[Row]) -> list[str]:
    """A name for each row: title, variant, and what else tells it apart from the others."""
    keys = telling(rows)
    return [f"{contender(row, keys)} {row['variant']}" for row in rows]


def row_identity(row: Row) -> dict[str, Any]:
    """The fields that identify a row, for JSON."""
    return {key: row.get(key) for key in IDENTITY}


def workload_title(row: Row) -> str:
    """One line that names the work of all rows of a table."""
    title = f"{row['model']}: batch {row['batch_size']}, {row['prompt_tokens']} prompt + {row['new_tokens']} new tokens"
    return title + (" (synthetic weights)" if Flag.SYNTHETIC_WEIGHTS in row["flags"] else "")


def by_workload(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows grouped by workload, in order of appearance; a row without one joins the group of its model and shape."""
    titles = {row["workload"]: workload_title(row) for row in rows if row["workload"]}
    hashes = {title: workload for workload, title in titles.items()}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        key = row["workload"] or hashes.get(workload_title(row)) or workload_title(row)
        groups.setdefault(key, []).append(row)
    return groups


def telling(rows: list[Row]) -> tuple[str, ...]:
    """The keys, besides the engine, that tell the rows of a table apart. Compute it once per table, not per row.

    Runs of one machine at different times differ by the engine's version, otherwise by the time.
    """
    keys = [key for key in ("device", "machine", "isolation") if len({row[key] for row in rows}) > 1]
    for key in ("engine_version", "run_started", "source"):
        if len({_identity(row, keys) for row in rows}) == len(rows):
            break
        if len({row.get(key) for row in rows}) > 1 and (key != "engine_version" or _versions_differ(rows)):
            keys.append(key)
    return tuple(keys)


def _identity(row: Row, keys: list[str]) -> tuple[Any, ...]:
    return row["title"], row["variant"], row["batch_size"], *(row.get(key) for key in keys)


def _versions_differ(rows: list[Row]) -> bool:
    """Whether some engine occurs in two versions."""
    return len({(row["engine"], row["engine_version"]) for row in rows}) > len({row["engine"] for row in rows})


def contender(row: Row, keys: tuple[str, ...]) -> str:
    """The engine's title, and what else tells it apart (`telling`)."""
    return " · ".join([row["title"], *(when(row) if key == "run_started" else str(row[key]) for key in keys)])


def notes(row: Row) -> str:
    """What a reader must know about a row, as text."""
    words = [flag.note for flag in known_flags(row["flags"]) if flag is not Flag.CAVEAT]
    return "; ".join([*words, *filter(None, [row["caveat"]])])


def when(row: Row) -> str:
    """When the row's run started, UTC. Only rows of merged summaries have `run_started`."""
    return (row.get("run_started") or row.get("started") or "time unknown")[:19].replace("T", " ")
