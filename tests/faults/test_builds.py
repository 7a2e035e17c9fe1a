"""Row 2 of docs/trust/security.md: a build that fails, and one that hangs."""

import time

import psutil
import pytest

from tests.support.checkout import SMALL

pytestmark = pytest.mark.parametrize("isolation", ["docker"], indirect=True)  # venv: unit test_venv_prepare


def test_a_build_that_fails_ends_its_own_cells_only(checkout):
    checkout.engine("faulty", {"one": {}})
    checkout.engine("broken", {"one": {}})
    lock = checkout.path / "bench_broken" / "requirements" / "cpu.txt"
    lock.write_text(lock.read_text() + "no-such-package-of-ours==0.0.0\n")
    done, summary, _ = checkout.measure("--engines", "broken,faulty", "--no-quality", *SMALL)
    found = {row["engine"]: row for row in summary["rows"]}
    assert found["broken"]["outcome"] == "build_failed" and found["faulty"]["outcome"] == "ok"
    assert "no-such-package-of-ours" in found["broken"]["reason"]
    assert 1 < len(found["broken"]["reason"].splitlines()) <= 45
    assert done.returncode == 1


def test_a_build_that_hangs_is_killed_and_the_others_go_on(checkout):
    checkout.engine("stuck", {"one": {}})
    checkout.engine("faulty", {"one": {}})
    dockerfile = checkout.path / "bench_stuck" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("COPY docker", "RUN echo before; sleep 654\nCOPY docker", 1))
    checkout.build("faulty", "dummy")  # these take their time, too
    began = time.monotonic()
    arguments = ("--engines", "stuck,faulty", "--no-quality", "--build-timeout", "15", *SMALL)
    done, summary, _ = checkout.measure(*arguments)
    assert time.monotonic() - began < 300
    found = {row["engine"]: row for row in summary["rows"]}
    assert found["stuck"]["outcome"] == "build_failed" and found["faulty"]["outcome"] == "ok"
    assert "15 s" in found["stuck"]["reason"] and "before" in found["stuck"]["reason"]
    assert done.returncode == 1
    deadline = time.monotonic() + 30  # the daemon ends the step once its client is gone
    while _sleepers():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _sleepers():
    return [each for each in psutil.process_iter() if _command(each) == ["sleep", "654"]]


def _command(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
