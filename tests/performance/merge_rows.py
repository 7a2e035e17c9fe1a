"""Time to merge and report many rows (target: 10,000 rows in at most 10 s), and to keep them in a store.

    .venv/bin/python -m tests.performance.merge_rows [--rows 10000] [--directories 10]

Takes the row of one real results directory (made with bench_dummy if none is given) and repeats it under different
variant names, which is what a fleet's results look like to `merge`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.base.paths import ROOT
from orchestrator.report import write
from orchestrator.results import merge, store
from orchestrator.results.merge import merge_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--directories", type=int, default=10)
    parser.add_argument("--source", type=Path, help="a results directory whose first row is repeated")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.source or Path(folder) / "source"
        if options.source is None:
            command = [
                sys.executable,
                "-m",
                "orchestrator",
                "run",
                "--engines",
                "dummy",
                "--device",
                "cpu",
                "--out",
                source,
            ]
            subprocess.run(list(map(str, command)), cwd=ROOT, check=False, capture_output=True)
        summary = json.loads((source / "summary.json").read_text())
        row = next(row for row in summary["rows"] if row["outcome"] == "ok")
        each = options.rows // options.directories
        directories = []
        for number in range(options.directories):
            directory = Path(folder) / f"part{number}"
            directory.mkdir()
            run = {**summary["run"], "run_id": f"run{number}"}  # another run, or it would count once
            rows = [{**row, "variant": f"v{number}-{index}", "run_id": f"run{number}"} for index in range(each)]
            (directory / "summary.json").write_text(json.dumps({**summary, "run": run, "rows": rows}))
            directories.append(directory)
        out = Path(folder) / "out"
        out.mkdir()
        started = time.monotonic()
        merged = merge_results(directories)
        write.write(out, merged)
        seconds = time.monotonic() - started
        started = time.monotonic()
        file = Path(folder) / "results.duckdb"
        store.append(file, [part for path in directories for part in merge.split(merge.load(path), path)])
        appended = time.monotonic()
        assert len(merge.load(file)["rows"]) == len(merged["rows"])
        kept = f"store: {appended - started:.1f} s to append, {time.monotonic() - appended:.1f} s to read, "
        kept += f"{file.stat().st_size / 2**20:.1f} MiB"
        size = (out / "report.md").stat().st_size / 2**20
        done = f"{len(merged['rows'])} rows merged and reported in {seconds:.1f} s (target 10 s)"
        print(f"{done}; report.md {size:.1f} MiB; {kept}")


if __name__ == "__main__":
    main()
