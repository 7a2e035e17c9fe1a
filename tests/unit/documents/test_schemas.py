"""The JSON Schemas of docs/schemas/: every field says what it is, and engine.yaml names its own."""

import json

import pytest

from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.report.tables import record_fields

SELF_EVIDENT = {"schema", "kind"}  # the version of the form, and the kind of a record


@pytest.mark.parametrize("name", record_fields.FILES)
def test_every_field_says_what_it_holds(name):
    records = record_fields.schema(name)["$defs"]
    silent = {
        f"{title}.{key}"
        for title, record in records.items()
        for key, field in record["properties"].items()
        if key not in SELF_EVIDENT and not field.get("description")
    }
    assert silent == set() and all(record.get("description") for record in records.values())


@pytest.mark.parametrize("path", sorted(ROOT.glob("bench_*/engine.yaml")), ids=lambda path: path.parent.name)
def test_an_editor_finds_the_schema_of_engine_yaml(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    place = (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve()
    assert json.loads(place.read_text(encoding="utf-8")) == record_fields.schema("engine")


def test_records_within_a_file_are_named_by_dotted_keys():
    lines = record_fields.as_table("engine").splitlines()
    keys = [line.split("`")[1] for line in lines[2:]]
    assert {"name", "capabilities.batch", "devices.<name>.base", "variants.<name>.devices.<name>.note"} <= set(keys)
    ready = next(line for line in lines if line.startswith("| `variants.<name>.ready`"))
    assert [cell.strip() for cell in ready.split("|")[2:4]] == ["text or list of text", "[]"]


def test_a_file_that_is_not_declared():
    with pytest.raises(UserError, match="did you mean 'engine'"):
        record_fields.schema("engin")
