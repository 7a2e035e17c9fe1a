"""Size of report.html and time to first render with many rows (targets: 20 MB and 3 s at 10,000 rows).

    .venv/bin/python -m tests.performance.page_render [--rows 10000] [--repeats 5]

The rows are made up (tests/support/summaries.py), the browser is real: a headless Chromium opens the file afresh
each time. First render is from the start of the navigation until the first rows of the table are drawn; beside it
stands the first contentful paint.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from orchestrator.report.page import document
from tests.support import summaries
from tests.support.chromium import launched

SIZE_MB, RENDER_S = 20, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        summary = summaries.fleet(options.rows)
        started = time.monotonic()
        path = document.write(Path(folder), summary)
        wrote_s, size = time.monotonic() - started, path.stat().st_size / 1e6
        found = [timed(path) for _ in range(options.repeats)]
    paint, render = (median(values) for values in zip(*found, strict=True))
    print(f"{options.rows} rows: report.html written in {wrote_s:.1f} s")
    print(f"size {size:.1f} MB, {size / SIZE_MB:.2f} of the target of {SIZE_MB} MB")
    print(
        f"first render {render:.2f} s, {render / RENDER_S:.2f} of the target of {RENDER_S} s "
        f"(median of {options.repeats}: {', '.join(f'{each[1]:.2f}' for each in found)})"
    )
    print(f"first contentful paint {paint:.2f} s")


def timed(path: Path) -> tuple[float, float]:
    """Seconds: first contentful paint, first rows of the table."""
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.as_uri())
        page.wait_for_selector("#rows tbody tr")
        marks = [
            page.evaluate(f"performance.getEntriesByName('{name}')[0].startTime / 1000")
            for name in ("first-contentful-paint", "table-drawn")
        ]
        assert page.locator("#rows tbody tr").count() == 25
        return tuple(marks)


if __name__ == "__main__":
    main()
