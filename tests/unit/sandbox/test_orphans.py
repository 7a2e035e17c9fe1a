"""Containers that a killed orchestrator left: removed by the next start, and no others."""

import fcntl
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from orchestrator.sandbox import orphans
from orchestrator.sandbox.lease import Lease


class Container:
    def __init__(self, lease="", running=True, ended=None):
        self.labels = {"llm-inference-bench": "launch", orphans.LEASE_LABEL: str(lease)}
        finished = ended.strftime("%Y-%m-%dT%H:%M:%S.123456789Z") if ended else "0001-01-01T00:00:00Z"
        self.attrs = {"State": {"Running": running, "FinishedAt": finished}}
        self.removed = False

    def remove(self, force, v):
        self.removed = True


@pytest.fixture
def reap():
    def call(*found):
        said = []
        client = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: list(found)))
        return orphans.reap(client, said.append), said

    return call


def test_a_launch_whose_orchestrator_lives_is_left_alone(reap):
    lease = Lease("docker")
    mine = Container(lease.path)
    assert reap(mine) == (0, []) and not mine.removed


def test_a_launch_whose_orchestrator_is_dead_is_removed_with_its_lease(reap, tmp_path):
    path = tmp_path / "lease"
    path.touch()  # as a killed process leaves it: there, and not locked
    orphan = Container(path)
    count, said = reap(orphan)
    assert (count, said) == (1, ["removed 1 container(s) of a run that was killed"])
    assert orphan.removed and not path.exists()


@pytest.mark.parametrize(("running", "hours", "removed"), [(True, 9, False), (False, 2, True), (False, 0, False)])
def test_where_no_lease_can_be_seen_only_what_ended_long_ago_is_removed(reap, tmp_path, running, hours, removed):
    ended = datetime.now(timezone.utc) - timedelta(hours=hours)
    found = Container(tmp_path / "not there", running, ended)
    assert reap(found)[0] == removed and found.removed == removed


@pytest.mark.parametrize(("hours", "removed"), [(2, True), (0, False)])
def test_a_container_that_was_never_started_goes_when_it_is_old(reap, hours, removed):
    found = Container("", running=False)
    made = datetime.now(timezone.utc) - timedelta(hours=hours)
    found.attrs["Created"] = made.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    assert reap(found)[0] == removed and found.removed == removed


def test_a_lease_is_free_once_its_holder_closed_it(tmp_path):
    from orchestrator.sandbox.lease import is_free  # noqa: PLC0415 - beside what it tells

    path = tmp_path / "lease"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not is_free(path)
    assert is_free(path)
    assert not is_free(tmp_path / "not there")
