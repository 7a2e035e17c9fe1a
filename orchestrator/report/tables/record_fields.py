"""JSON Schemas of the files that are declared in code, and tables of their fields.

A field is described once, by the comment in the line of its declaration or above it.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pandas as pd

from common.contract import ConversionJob, Failure, Job, Result, Sample
from orchestrator.base.errors import unknown
from orchestrator.machine.site import Site
from orchestrator.models.manifest import Manifest
from orchestrator.models.ready.entry import EntryFile
from orchestrator.plan.engine_yaml import EngineFile
from orchestrator.report.tables.markdown_table import pipe_table
from orchestrator.results import journal
from orchestrator.results.merge import Summary

FILES: dict[str, Any] = {
    "engine": EngineFile, "site": Site, "model-entry": EntryFile, "manifest": Manifest, "job": Job,
    "conversion-job": ConversionJob, "sample": Sample, "result": Result, "failed-result": Failure,
    "journal": journal.Record, "summary": Summary,
}  # fmt: skip
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FIELD = re.compile(r"    (?P<name>\w+): .*?(?:  # (?P<text>.*))?$")
_ABOVE = re.compile(r"    # (?P<text>.*)$")


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a file of FILES, with a sentence for each field. Raises UserError for another name."""
    if name not in FILES:
        raise unknown("declared file", name, FILES)
    (reference,), records = msgspec.json.schema_components([FILES[name]], ref_template="#/$defs/{name}")
    kinds = {kind.__name__: kind for kind in _records(FILES[name])}
    for title, record in records.items():
        for key, text in _comments(kinds[title]).items():
            if key in record["properties"]:
                record["properties"][key] = {**record["properties"][key], "description": text}
    return {"$schema": DIALECT, **reference, "$defs": records}


def as_json(name: str) -> str:
    """The schema as docs/schemas/ holds it."""
    return json.dumps(schema(name), indent=1, ensure_ascii=False) + "\n"


def as_table(name: str, record: str | None = None) -> str:
    """The fields of a file, or of one of its records; those of nested records by dotted keys."""
    whole = schema(name)
    top = {"$ref": f"#/$defs/{record}"} if record else whole
    rows = [
        [f"`{key}`", kind, default, text]
        for key, kind, default, text in _rows(whole["$defs"][_references(top)[0]], whole["$defs"], "")
    ]
    return pipe_table(pd.DataFrame(rows, columns=["key", "type", "default", "meaning"]), escaped=False)


def _rows(record: dict[str, Any], records: dict[str, Any], above: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in record["properties"].items():
        default = "required" if name in record.get("required", ()) else _literal(field.get("default", "empty"))
        text = field.get("description", "").replace("|", "\\|").replace("<", "&lt;")
        yield above + name, _type(field), default, text
        for step, title in zip(_steps(field), _references(field), strict=False):
            yield from _rows(records[title], records, f"{above}{name}{step}.")


def _references(field: Any) -> list[str]:
    """The names of the records that a field holds, directly, in a list or by key."""
    if isinstance(field, dict):
        own = [field["$ref"].rpartition("/")[2]] if "$ref" in field else []
        return own + [title for key, value in field.items() if key != "default" for title in _references(value)]
    return [title for value in field for title in _references(value)] if isinstance(field, list) else []


def _steps(field: dict[str, Any]) -> list[str]:
    """The path from a field to each record that it holds: `.<name>` through a mapping, `[]` through a list."""
    if "anyOf" in field:
        return [step for option in field["anyOf"] for step in _steps(option)]
    if isinstance(field.get("additionalProperties"), dict):
        return [f".<name>{step}" for step in _steps(field["additionalProperties"])]
    if isinstance(field.get("items"), dict):
        return [f"[]{step}" for step in _steps(field["items"])]
    return [""] if "$ref" in field else []


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(_type, field["anyOf"])))
    if "enum" in field:
        return " or ".join(f"`{_literal(choice)}`" for choice in field["enum"])
    if field.get("type") == "array":
        item = _type(field["items"]) if field.get("items") else "anything"
        return f"list of ({item})" if " or " in item else f"list of {item}"
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return names.get(field.get("type", "object"), "null" if field.get("type") == "null" else "mapping")


def _literal(value: Any) -> str:
    return value if value and isinstance(value, str) else json.dumps(value)


def _records(kind: Any) -> list[Any]:
    """Every record class that is declared in the modules of the file's own classes."""
    modules = {inspect.getmodule(member) for member in getattr(kind, "__args__", (kind,))}
    classes = [cls for module in modules for _, cls in inspect.getmembers(module, inspect.isclass)]
    return [cls for cls in classes if hasattr(cls, "__struct_fields__") or hasattr(cls, "__dataclass_fields__")]


def _comments(kind: type) -> dict[str, str]:
    """The comment of every field of a record, including inherited ones."""
    texts: dict[str, str] = {}
    for base in [cls for cls in reversed(kind.__mro__) if cls.__module__ == kind.__module__]:
        above: list[str] = []
        for line in inspect.getsource(base).splitlines():
            if comment := _ABOVE.match(line):
                above.append(comment["text"])
            elif (field := _FIELD.match(line)) and (text := " ".join(above) or field["text"]):
                texts[field["name"]] = text
                above = []
            else:
                above = []
    return texts
