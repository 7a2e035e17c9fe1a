"""Every command that works on a device takes its lock: figures made beside a run would be wrong, as the run's own."""

import pytest

from orchestrator import cli_host, devices
from orchestrator.locks import device_lock


@pytest.mark.parametrize("command", [("limits",), ("check", "dummy"), ("run", "--engines", "dummy")])
def test_a_device_that_is_held_is_left_alone(call, command):
    with device_lock(devices.choose("cpu", None, lambda _: None), cli_host.CACHE / "locks"):
        code, out, said = call(*command, "--device", "cpu", "--isolation", "venv")
    assert (code, out) == (75, "") and "is in use by another run" in said[-1]
