"""Row 16 of docs/trust/security.md: a disk that is full."""

import json
import os
import subprocess

import pytest

from tests.support.checkout import SMALL


@pytest.fixture
def small_disk(tmp_path):
    """A file system with 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("a small file system needs root and mount")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def test_a_full_disk_stops_the_run_and_leaves_it_readable(checkout, small_disk):
    checkout.engine("faulty", {"one": {"settings": {"log_bytes": 450_000}}})
    out = small_disk / "results"
    arguments = checkout.benchmark(out, "--engines", "faulty", "--no-quality", *SMALL, "--launches", "12")
    done = checkout.run(*arguments)
    assert done.returncode == 1
    assert "disk full" in done.stderr and "Traceback" not in done.stderr
    (small_disk / "results" / "launches").rename(small_disk / "gone")
    subprocess.run(["rm", "-r", str(small_disk / "gone")], check=True)
    measured = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert sum(each["kind"] == "launch" and each["outcome"] == "ok" for each in measured) >= 2
    assert checkout.left() == []
