"""Memory of the process tree: what a launch's row says an engine needs."""

import subprocess
import sys
import time

import pytest

from common.machine import MemoryProbe

HOLDS_64_MIB = "held = bytearray(b'x') * (64 << 20); print(flush=True); input()"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_that_starts_between_two_listings_counts():
    """An engine that is a program of its own may be started, measured and done within a second."""
    probe = MemoryProbe()
    time.sleep(2 * MemoryProbe.INTERVAL_S)  # the tree is listed: without the child
    with subprocess.Popen([sys.executable, "-c", HOLDS_64_MIB], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        peak = probe.peak()["peak_host_mib"]
        child.communicate(b"\n")
    alone = MemoryProbe()
    assert peak - alone.peak()["peak_host_mib"] > 60
