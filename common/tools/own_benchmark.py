"""Entry of an engine's own_benchmark.py: the benchmark that the engine ships, on a launch's own job."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from common.contract import Job, read_job
from common.tools.result_files import write_json_atomically


def main(measure: Callable[[Job], dict[str, float]]) -> None:
    """`measure(job)` returns {"decode_tps", "prefill_tps"} in tokens/s; written to OUT/own_benchmark.json.

    `measure` raises SystemExit with a text, or any exception, where there is no figure; stderr's last line says why.
    """
    parser = argparse.ArgumentParser(description="Run the benchmark that this engine ships.")
    parser.add_argument("--job", type=Path, default=Path("/job/job.json"))
    parser.add_argument("--out", type=Path, default=Path("/out"))
    options = parser.parse_args()
    write_json_atomically(options.out / "own_benchmark.json", measure(read_job(options.job, Job)))
