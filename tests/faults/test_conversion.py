"""Row 6 of docs/trust/security.md: a conversion killed half-way, and two runs that convert the same model at once."""

import subprocess
import sys

import pytest

from tests.support.checkout import SMALL, wait_for

VARIANT = {"one": {"precision": "int8", "artefact": "slow", "settings": {"convert_s": 5}}}


@pytest.fixture
def slow(checkout, tmp_path):
    """A checkout with a contender that converts for five seconds, and a cache of its own."""
    checkout.engine("slow", VARIANT)
    checkout.cache = tmp_path / "cache"
    checkout.build("slow", "dummy")
    return checkout


def artefacts(checkout):
    """Whole artefacts, and whatever else lies there but locks."""
    place = checkout.cache / "artefacts"
    found = [path for path in place.iterdir() if path.suffix != ".lock"] if place.is_dir() else []
    whole = [path for path in found if (path / "artefact" / "manifest.json").is_file()]
    return whole, [path for path in found if path not in whole]


def half_way(checkout):
    return list((checkout.cache / "artefacts").glob(".slow-*/out/**/dummy.json"))


def test_a_conversion_killed_half_way_is_made_anew_and_leaves_nothing(slow):
    process, out = slow.start_run("--engines", "slow")
    wait_for(lambda: half_way(slow), process)
    process.kill()
    process.wait()
    assert artefacts(slow)[0] == []  # nothing partial is visible
    again = slow.run(*slow.benchmark(out, "--engines", "slow", "--no-quality", *SMALL, "--resume"))
    assert again.returncode == 0, again.stderr
    assert "slow converted in" in again.stderr
    whole, rest = artefacts(slow)
    assert len(whole) == 1 and rest == []
    assert slow.left() == []


CONVERT = """
import sys
from orchestrator.base.paths import Workspace
from orchestrator.base.progress import Progress
from orchestrator.machine.devices import choose_device
from orchestrator.plan.engine_yaml import discover
from orchestrator.plan.run_plan import find_subject
from orchestrator.run.convert import Artefacts
from orchestrator.run.session import Workbench
from orchestrator.sandbox.isolation import sandbox_for

workspace, progress = Workspace.of_checkout(), Progress()
device, engine = choose_device("cpu", None, progress.say), discover()["slow"]
sandbox = sandbox_for(sys.argv[1], device, workspace, progress)
bench = Workbench(workspace, device, sandbox, {}, 2, progress)
subject = find_subject("tiny", workspace.cache, progress.say)
print(Artefacts(bench).ensure(engine, engine.variants["one"], subject, sandbox.prepare(engine, "cpu")))
"""


def test_two_at_once_convert_once(slow):
    """As two runs on two GPUs of one host do; on one device the second waits for the first anyway."""
    both = [
        subprocess.Popen([sys.executable, "-c", CONVERT, slow.isolation], cwd=slow.path, env=slow.environment(),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]  # fmt: skip
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    said = told[0][1] + told[1][1]
    assert said.count("slow converted in") == 1 and said.count("another process is converting") == 1
    whole, rest = artefacts(slow)
    assert [str(path / "artefact") for path in whole] == [told[0][0].strip()] and rest == []
