"""Where things lie. The suite runs from its checkout; nothing is written outside it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("BENCH_CACHE", ROOT / ".cache"))
RESULTS = ROOT / "results"
