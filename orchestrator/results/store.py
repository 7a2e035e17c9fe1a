"""Results of hundreds of runs in one DuckDB file, to which `merge --store` appends and which `merge.load` reads.

Nothing is overwritten. A run is identified by its id and the digest of its journal; one that is resumed after it was
stored is added again, and the state with the longest journal is read. The tables `runs` and `rows` and the view
`latest` are meant for SQL; `rows.row` is the whole row of summary.json.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.base.cache import json_hash
from orchestrator.base.errors import UserError
from orchestrator.results.metrics.registry import stored
from orchestrator.results.summary import SCHEMA as SUMMARY_SCHEMA

SCHEMA = 1
TEXTS = (
    "engine", "engine_version", "variant", "precision", "scheme", "model", "machine", "device", "device_name",
    "isolation", "workload", "outcome", "reason", "source",
)  # fmt: skip
COUNTS = ("batch_size", "prompt_tokens", "new_tokens", "threads", "launches", "iterations")
OF_SUMMARY = ("median", "low", "high", "level", "mean")
VIEWS = """
CREATE OR REPLACE VIEW current AS SELECT * FROM runs
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY records DESC, number DESC) = 1;
CREATE OR REPLACE VIEW latest AS SELECT rows.* FROM rows SEMI JOIN current USING (run_id, journal);
"""
TABLES = f"""
CREATE TABLE meta (store_schema INTEGER, summary_schema INTEGER);
INSERT INTO meta VALUES ({SCHEMA}, {SUMMARY_SCHEMA});
CREATE TABLE runs (number INTEGER, run_id VARCHAR, journal VARCHAR, records INTEGER,
    added TIMESTAMP DEFAULT (now() AT TIME ZONE 'UTC'), started TIMESTAMP, machine VARCHAR, device VARCHAR,
    device_name VARCHAR, profile VARCHAR, directory VARCHAR, head JSON, PRIMARY KEY (run_id, journal));
CREATE TABLE rows (run_id VARCHAR, journal VARCHAR, position INTEGER, started TIMESTAMP,
    {", ".join(f"{name} VARCHAR" for name in TEXTS)}, {", ".join(f"{name} INTEGER" for name in COUNTS)},
    "row" JSON);
{VIEWS}"""


@dataclass(frozen=True)
class Part:
    """One run of a summary; `limits` and `reference` if the summary holds no other run."""

    run: dict[str, Any]
    rows: list[dict[str, Any]]
    timeline: list[dict[str, Any]]
    limits: dict[str, Any] | None = None
    reference: dict[str, Any] | None = None


@dataclass(frozen=True)
class Receipt:
    """How many runs an append added or knew already, and how many runs and rows the store holds now."""

    added: int
    known: int
    runs: int
    rows: int


def append(path: Path, parts: list[Part]) -> Receipt:
    """Add runs, all or none; a run that is stored in this state already is skipped.

    Makes the file if there is none. Raises UserError for a file that is no store, of another schema, or in use.
    """
    with _connected(path, read_only=False) as connection:
        connection.begin()
        if not connection.execute("SHOW TABLES").fetchall():
            connection.execute(TABLES)
        _check(connection, path)
        _add_columns(connection)
        stored_keys = set(connection.execute("SELECT run_id, journal FROM runs").fetchall())
        added = 0
        for part in parts:
            key = _key(part.run)
            if key[:2] in stored_keys:
                continue
            stored_keys.add(key[:2])
            added += 1
            _insert(connection, key, part)
        connection.commit()
        totals = connection.execute("SELECT (SELECT count(*) FROM current), (SELECT count(*) FROM latest)").fetchone()
    return Receipt(added, len(parts) - added, *totals)


def load(path: Path) -> dict[str, Any]:
    """The summary of all runs in a store, oldest first. Raises UserError as `append` does, and for an empty store."""
    with _connected(path, read_only=True) as connection:
        _check(connection, path)
        heads = connection.execute("SELECT run_id, head FROM current ORDER BY started, number").fetchall()
        records = connection.execute('SELECT run_id, "row" FROM latest ORDER BY position').fetchall()
    if not heads:
        raise UserError(f"{path} holds no run: add some with `./benchmark.sh merge DIR... --store {path}`")
    rows: dict[str, list[dict[str, Any]]] = {run_id: [] for run_id, _ in heads}
    for run_id, row in records:
        rows[run_id].append(json.loads(row))
    return joined([Part(**json.loads(head), rows=rows[run_id]) for run_id, head in heads])


def joined(parts: list[Part]) -> dict[str, Any]:
    """One summary of several runs; `limits` and `reference` are kept of a single run only."""
    single = parts[0] if len(parts) == 1 else None
    return {
        "schema": SUMMARY_SCHEMA,
        "run": parts[-1].run,
        "runs": [part.run for part in parts],
        "limits": single.limits if single else None,
        "reference": single.reference if single else None,
        "timeline": [launch for part in parts for launch in part.timeline],
        "rows": [row for part in parts for row in part.rows],
    }


@contextlib.contextmanager
def _connected(path: Path, *, read_only: bool) -> Iterator[Any]:
    """A connection; an error of DuckDB's becomes a UserError of one line."""
    import duckdb  # noqa: PLC0415 - most commands never need it, and it takes a while

    settings: dict[str, Any] = {"autoinstall_known_extensions": "false"}  # nothing is fetched from a network
    try:
        with duckdb.connect(str(path), read_only=read_only, config=settings) as connection:
            yield connection
    except duckdb.Error as error:
        message = str(error).splitlines()[0]
        if "lock" in message.lower():
            raise UserError(f"{path} is in use by another process: wait until it has ended") from error
        raise UserError(
            f"{path} cannot be used as a store of results: {message}; name a DuckDB file that `merge --store` wrote"
        ) from error


def _check(connection: Any, path: Path) -> None:
    tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
    if not {"meta", "runs", "rows"} <= tables:
        raise UserError(f"{path} is a DuckDB file, but not of results: name one that `merge --store` wrote")
    schemas = connection.execute("SELECT * FROM meta").fetchone()
    if schemas != (SCHEMA, SUMMARY_SCHEMA):
        raise UserError(
            f"{path} has store schema {schemas[0]} and summary schema {schemas[1]}, this suite reads {SCHEMA} and "
            f"{SUMMARY_SCHEMA}: make a new store from the results directories"
        )


def _columns() -> dict[str, tuple[str, ...]]:
    """The figures that have a column: path in the row by the column's name."""
    paths = [
        (metric.field, inner) if inner else tuple(metric.field.split("."))
        for metric in stored()
        for inner in (OF_SUMMARY if metric.is_summary else [""])
    ]
    return {"_".join(path): path for path in paths}


def _add_columns(connection: Any) -> None:
    """Add the missing columns of metrics: a file that an earlier version of the suite made lacks the newest."""
    present = {name for name, *_ in connection.execute("DESCRIBE rows").fetchall()}
    for name in _columns().keys() - present:
        connection.execute(f'ALTER TABLE rows ADD COLUMN "{name}" DOUBLE')
    connection.execute(VIEWS)


def _figure(row: dict[str, Any], path: tuple[str, ...]) -> float | None:
    value = row.get(path[0])
    return (value or {}).get(path[1]) if len(path) > 1 else value


def _key(run: dict[str, Any]) -> tuple[str, str, int]:
    """Run id, digest and length of the journal. Without them, a hash of the run's record identifies it."""
    if "run_id" in run:
        return run["run_id"], run["journal"]["sha256"], run["journal"]["records"]
    digest = json_hash(run)
    return digest[:16], digest, 0


def _insert(connection: Any, key: tuple[str, str, int], part: Part) -> None:
    run_id, journal, records = key
    run = {**part.run, "run_id": run_id, "journal": {"sha256": journal, "records": records}}
    head = json.dumps(
        {"run": run, "timeline": part.timeline, "limits": part.limits, "reference": part.reference}, allow_nan=False
    )
    device = run.get("device") or {}
    connection.execute(
        "INSERT INTO runs (number, run_id, journal, records, started, machine, device, device_name, profile, "
        "directory, head) VALUES ((SELECT count(*) FROM runs), ?, ?, ?, TRY_CAST(? AS TIMESTAMP), ?, ?, ?, ?, ?, ?)",
        [*key, run.get("started"), run.get("hostname"), device.get("kind"), device.get("name"), run.get("profile"),
         run.get("directory"), head],
    )  # fmt: skip
    columns = _columns()
    names = ["run_id", "journal", "position", "started", *TEXTS, *COUNTS, *columns, "row"]
    lines = []
    for position, row in enumerate(part.rows):
        values = [row.get(name) for name in (*TEXTS, *COUNTS)] + [_figure(row, path) for path in columns.values()]
        whole = json.dumps({**row, "run_id": run_id}, allow_nan=False)
        lines.append([run_id, journal, position, row.get("started") or run.get("started"), *values, whole])
    casts = ", ".join(
        f'TRY_CAST("{name}" AS TIMESTAMP) AS "{name}"' if name == "started" else f'"{name}"' for name in names
    )
    connection.register("incoming", pd.DataFrame(lines, columns=names, dtype=object))
    # One statement for all rows: one by one, 10,000 take a minute.
    connection.execute(f"INSERT INTO rows BY NAME SELECT {casts} FROM incoming")
    connection.unregister("incoming")
