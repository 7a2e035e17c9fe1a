"""Published figures are those of the runs that made them, and the suite's own tools read them."""

import io
import json
import tarfile

import pytest

from orchestrator import exports, journal, merge
from orchestrator.paths import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "results" / "published").glob("*/summary.json"))


@pytest.mark.parametrize("name", ["interval", "memory", "evidence"])
def test_the_readmes_tables_are_the_newest_published_runs(name):
    lines = exports.as_markdown(exports.collect(merge.load(FOLDERS[-1]), [], name)).splitlines()
    table = "\n".join(line for line in lines if line.startswith("|"))
    assert table and table in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_published_row_has_its_launches(folder, tmp_path):
    """Every speed is the median over launches whose raw data lies beside it."""
    rows = [row for row in merge.load(folder)["rows"] if row["outcome"] == "ok"]
    with tarfile.open(folder / "run.tar.xz") as packed:
        members = {member.name.partition("/")[2]: member for member in packed.getmembers()}
        text = io.TextIOWrapper(packed.extractfile(members[journal.NAME]), encoding="utf-8")
        launches = [each for each in map(json.loads, text) if each["kind"] == "launch"]
    assert rows
    for row in rows:
        mine = [
            each for each in launches if each["directory"].startswith(f"launches/{row['engine']}-{row['variant']}-")
        ]
        measured = {each["block"] for each in mine if f"{each['directory']}/out/samples.jsonl" in members}
        assert len(measured) == row["launches"] == len(row["decode_tps"]["values"])
