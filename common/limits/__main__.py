"""Measure this device's limits in the same sandbox and with the same threads as the engines.

python -m common.limits --job job.json --out DIRECTORY       writes DIRECTORY/limits.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common.limits import bandwidth, matmul
from common.tools.result_files import write_json_atomically

REPEATS = 3
BANDWIDTH_S = 0.5


def main() -> None:
    """Bandwidth three times, then products; raises what writing limits.json raises."""
    parser = argparse.ArgumentParser(description="Measure this device's limits.")
    parser.add_argument("--job", type=Path, default=Path("/job/job.json"))
    parser.add_argument("--out", type=Path, default=Path("/out"))
    options = parser.parse_args()
    job = json.loads(options.job.read_text(encoding="utf-8"))
    kind, threads = job["device"]["kind"], job["threads"]
    probes = [bandwidth.probe(kind, threads, BANDWIDTH_S) for _ in range(REPEATS)]
    write_json_atomically(options.out / "limits.json", {"bandwidth": probes, "matmul": matmul.peaks(kind, threads)})


if __name__ == "__main__":
    main()
