"""Published figures are those of the runs that made them, and the suite's own tools read them."""

import tarfile

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.results import merge, summary

FOLDERS = sorted(path.parent for path in (ROOT / "results" / "published").glob("*/summary.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_published_speeds_come_out_of_the_raw_data_beside_them(folder, tmp_path):
    with tarfile.open(folder / "run.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    [run] = tmp_path.iterdir()
    again = {(row["engine"], row["variant"]): row for row in summary.summarise(run)["rows"]}
    rows = merge.load(folder)["rows"]
    assert len(rows) == len(again) and any(row["outcome"] == "ok" for row in rows)
    for row in rows:
        raw = again[row["engine"], row["variant"]]
        for name in ("outcome", "decode_tps", "ttft_s", "peak_host_mib", "mbu", "mfu", "quality", "gates"):
            assert row[name] == raw[name], (row["engine"], row["variant"], name)
