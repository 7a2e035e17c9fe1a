"""Row 1 of docs/trust/security.md: no Docker daemon, and one that this user may not ask."""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from tests.support.checkout import SMALL, Checkout

venv_only = pytest.mark.parametrize("isolation", ["venv"], indirect=True)
NOBODY = 65534
SOCKET = Path("/var/run/docker.sock")


@venv_only
def test_without_a_daemon_auto_takes_virtual_environments_and_says_so(checkout, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    checkout.isolation = "auto"
    done, summary, _ = checkout.measure("--engines", "dummy", "--variants", "float32", "--no-quality", *SMALL)
    assert done.returncode == 0 and summary["rows"][0]["isolation"] == "venv"
    assert "isolation: one virtual environment per engine (the Docker daemon does not answer" in done.stderr


@venv_only
def test_without_a_daemon_docker_is_refused_in_one_line(checkout, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    refused(checkout.run("run", "--engines", "dummy", "--isolation", "docker", "--device", "cpu"), checkout)


def refused(done, checkout):
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    assert "the Docker daemon does not answer" in errors[0] and "--isolation venv" in errors[0]
    assert not list((checkout.path / "results").iterdir())
    return errors[0]


@pytest.fixture
def for_nobody():
    """A checkout that user `nobody` may write in, and a function that runs the suite there as that user."""
    if os.getuid() != 0 or not SOCKET.is_socket() or stat.S_IMODE(SOCKET.stat().st_mode) & 0o006:
        pytest.skip("needs root, to become a user without permission, and a socket that not everybody may use")
    place = Path(tempfile.mkdtemp(prefix="nobody-"))
    place.chmod(0o755)
    checkout = Checkout(place / "suite")
    checkout.cache = place / "cache"
    (checkout.path / "results").mkdir()
    for path in (place, *place.rglob("*")):
        os.chown(path, NOBODY, NOBODY)

    environment = {**checkout.environment(), "HOME": str(place)}
    environment["PYTHONPATH"] += f":{sysconfig.get_path('purelib')}"

    def run(*arguments, python=None):
        command = [python or reachable, *checkout.command(*arguments)[1:]]
        return subprocess.run(
            command, cwd=checkout.path, env=environment, capture_output=True, text=True, user=NOBODY, group=NOBODY,
            extra_groups=[], timeout=60, check=False,
        )  # fmt: skip

    reachable = next((python for python in (sys.executable, "/usr/bin/python3") if _works(run, python)), None)
    if reachable:
        yield checkout, run
    shutil.rmtree(place)
    if not reachable:
        pytest.skip("this checkout's Python or its packages are out of reach for user nobody")


def _works(run, python):
    try:
        return run("--help", python=python).returncode == 0
    except OSError:
        return False


def test_without_permission_docker_is_refused_and_the_doctor_names_the_group(for_nobody):
    checkout, run = for_nobody
    error = refused(run("run", "--engines", "dummy", "--isolation", "docker", "--device", "cpu"), checkout)
    assert "Permission denied" in error and "./benchmark.sh doctor" in error
    told = run("doctor").stdout
    assert "usermod -aG docker" in told or "docker group" in told, told
