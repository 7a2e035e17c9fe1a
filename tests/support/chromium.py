"""A headless Chromium of this machine, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium: install Debian's package chromium, or name one in BENCH_CHROMIUM"


def path() -> str | None:
    """$BENCH_CHROMIUM, or the first Chromium in PATH; None where there is none."""
    return os.environ.get("BENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser, headless. Raises SystemExit where there is none."""
    executable = path()
    if executable is None:
        raise SystemExit(MISSING)
    with sync_playwright() as playwright:
        # No sandbox: Chromium refuses to run as root with one, and it opens nothing but our own file.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
