"""A run of bench_dummy in real containers: outcomes, files, resume, interruption, isolation."""

import json
import subprocess
import time

import pytest

from orchestrator.report.tables import speed
from tests.support.checkout import SMALL, leftovers, rows

pytestmark = pytest.mark.container


def test_resume_keeps_what_is_measured_and_measures_what_changed(checkout):
    checkout.engine("steady", {"one": {}, "two": {}})
    _, first, out = checkout.measure("--engines", "steady", *SMALL, "--launches", "2")
    arguments = (
        "run",
        "--engines",
        "steady",
        "--device",
        "cpu",
        *SMALL,
        "--launches",
        "2",
        "--out",
        str(out),
        "--resume",
    )
    again = checkout.run(*arguments)
    assert again.returncode == 0 and again.stderr.count("measured already") == 4
    assert json.loads((out / "summary.json").read_text())["rows"] == first["rows"]
    bench = checkout.path / "bench_steady" / "bench.py"
    bench.write_text(bench.read_text() + "\n# changed\n")
    changed = checkout.run(*arguments)
    assert changed.returncode == 0 and "measured already" not in changed.stderr
    after = json.loads((out / "summary.json").read_text())["rows"]
    assert {row["image"] for row in after}.isdisjoint(row["image"] for row in first["rows"])
    assert [row["launches"] for row in after] == [2, 2]


def test_a_check_that_is_terminated_leaves_no_container(checkout, daemon):
    checkout.engine("slow", {"slow": {"settings": {"step_ms": 500}}})
    checkout.run("build", "--engines", "slow,dummy", "--device", "cpu")
    process = checkout.start("check", "slow", "--device", "cpu")
    deadline = time.monotonic() + 120
    while not leftovers(daemon):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in said
    assert leftovers(daemon) == []


def test_a_launch_is_reproduced_with_plain_docker_commands(checkout, daemon):
    checkout.engine("plain", {"one": {}})
    _, summary, out = checkout.measure("--engines", "plain", *SMALL)
    row = rows(summary)["one"]
    assert "docker build" in row["reproduce_commands"] and "docker run" in row["reproduce_commands"]
    assert row["reproduce_commands"] in (out / "report.md").read_text()
    daemon.images.remove(row["image"], force=True)  # so that the script has to build it
    done = subprocess.run(
        ["sh", str(out / row["reproduce"])], cwd=checkout.path, capture_output=True, text=True, timeout=600,
        check=False, env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", "DOCKER_BUILDKIT": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((checkout.path / "reproduced" / "result.json").read_text())
    assert result["outcome"] == "ok"
    # The first three: how many warm-up iterations follow depends on the machine, and each has a prompt of its own.
    again, before = (
        [json.loads(line)["ids"] for line in path.read_text().splitlines()[:3]]
        for path in (
            checkout.path / "reproduced" / "samples.jsonl",
            (out / row["reproduce"]).parent / "out" / "samples.jsonl",
        )
    )
    assert again == before


def test_known_delays_read_back(checkout):
    checkout.engine("clock", {"ten": {"settings": {"first_ms": 50, "step_ms": 10}}})
    _, summary, _ = checkout.measure("--engines", "clock", "--prompt-tokens", "16", "--new-tokens", "32")
    row = rows(summary)["ten"]
    # Loose, as other processes may run beside a test; tests/performance/suite_overhead.py has the tight figures.
    assert row["itl_s"]["median"] == pytest.approx(0.010, rel=0.05)
    assert row["ttft_s"]["median"] == pytest.approx(0.050, rel=0.1)


def test_a_copied_engine_shows_no_difference(checkout):
    """The same engine twice in one run, as two contenders: whoever is first by chance is not called faster."""
    for name in ("one", "two"):
        checkout.engine(name, {"steps": {"settings": {"first_ms": 20, "step_ms": 5}}})
    _, summary, out = checkout.measure("--engines", "one,two", "--profile", "standard", *SMALL)
    assert [row["launches"] for row in summary["rows"]] == [5, 5]
    assert speed.ranking(summary["rows"])["Verdict"][1] == "no difference shown"
    assert "no difference shown" in (out / "report.md").read_text()
