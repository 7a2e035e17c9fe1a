"""Builds the images that the container tests will use, while what does not measure runs beside it.

    python -m tests.build_images [--engines all|a,b]

A second one waits for the first, and then finds the images built. A build that fails is the container tests' to report.
"""

import argparse
import fcntl
import signal
import sys
import tempfile
from pathlib import Path

import docker
from docker.errors import DockerException

from orchestrator.plan.engine_yaml import discover
from tests.support import engine_choice
from tests.support.checkout import ROOT, Checkout

TIMEOUT_S = 4500
CALIBRATES = "dummy"  # whose delays every run reads back


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the images that the container tests will use.")
    parser.add_argument("--engines")
    parser.add_argument("--record", action="store_true", help="without a meaning here")
    requested = parser.parse_args().engines
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the build as well
    try:
        docker.from_env().ping()
    except DockerException as error:
        print(f"no images are built: {error}")
        return
    engines = discover(ROOT)
    names = [name for name in engine_choice.current(requested).taken if engines[name].devices["cpu"].support.runs]
    lock = ROOT / ".cache" / "test-images.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file, tempfile.TemporaryDirectory() as folder:
        fcntl.flock(file, fcntl.LOCK_EX)
        checkout = Checkout(Path(folder) / "suite", engines=names)  # as the tests have it, and so the same images
        names = ",".join([CALIBRATES, *names])
        print(f"building the images of {names}", flush=True)
        done = checkout.run("build", "--engines", names, "--device", "cpu", "--isolation", "docker", timeout=TIMEOUT_S)
        print(done.stdout or done.stderr)


if __name__ == "__main__":
    main()
