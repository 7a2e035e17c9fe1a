"""Every command that works on a device takes its lock: figures made beside a run would be wrong, as the run's own."""

import pytest

from orchestrator.machine.devices import choose_device
from orchestrator.machine.lock import device_lock


@pytest.mark.parametrize("command", [("limits",), ("check", "dummy"), ("run", "--engines", "dummy")])
def test_a_device_that_is_held_is_left_alone(call, workspace, command):
    with device_lock(choose_device("cpu", None, lambda _: None), workspace.locks):
        code, out, said = call(*command, "--device", "cpu", "--isolation", "venv")
    assert (code, out) == (75, "") and "is in use by another run" in said[-1]
