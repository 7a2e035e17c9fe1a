"""Row 10 of docs/trust/security.md: a container at its memory limit: main process or child, at once or slowly."""

import json

import pytest

from tests.support.checkout import SMALL, rows

docker_only = pytest.mark.parametrize("isolation", ["docker"], indirect=True)
LIMIT = ("--memory-limit", "2GB")  # the bandwidth probe takes several times the cache


@docker_only
def test_who_takes_too_much_memory_is_ended_and_the_others_go_on(checkout):
    faults = {"at-once": "eat_memory", "child": "eat_memory_in_child", "slowly": "leak"}
    variants = {name: {"settings": {"fault": fault, "step_ms": 20}} for name, fault in faults.items()}
    checkout.engine("faulty", {**variants, "good": {}})
    done, summary, out = checkout.measure("--engines", "faulty", "--no-quality", *SMALL, *LIMIT)
    found = rows(summary)
    assert {name: row["outcome"] for name, row in found.items()} == {**dict.fromkeys(faults, "oom_host"), "good": "ok"}
    assert all("memory limit" in found[name]["reason"] for name in faults)
    # The leak was slow: what was sampled before it is kept, and no row is made of it.
    kept = next(out.glob("launches/faulty-slowly-*/out/samples.jsonl")).read_text().splitlines()
    assert kept and found["slowly"]["decode_tps"] is None
    assert json.loads((out / "journal.jsonl").read_text().splitlines()[0])["memory_limit"] == 2_000_000_000
    assert done.returncode == 1 and checkout.left() == []


@docker_only
def test_larger_shapes_of_who_ran_out_of_memory_are_not_tried(checkout):
    checkout.engine("faulty", {"one": {"settings": {"fault": "eat_memory"}}})
    _, summary, out = checkout.measure("--engines", "faulty", "--no-quality", "--batch-sizes", "1,4", *SMALL, *LIMIT)
    tried = {path.name.split("-b")[-1][0] for path in out.glob("launches/*")}  # the order is shuffled
    words = {row["batch_size"]: (row["outcome"], "skipped after oom" in row["reason"]) for row in summary["rows"]}
    assert words == {1: ("oom_host", False), 4: ("oom_host", "4" not in tried)}


@pytest.mark.parametrize("isolation", ["venv"], indirect=True)
def test_virtual_environments_limit_no_memory_and_say_so(checkout):
    done = checkout.run("run", "--engines", "dummy", "--isolation", "venv", "--device", "cpu", *LIMIT)
    assert done.returncode == 2 and "--memory-limit: virtual environments limit no memory" in done.stderr
    assert not list((checkout.path / "results").iterdir())


@pytest.mark.parametrize("isolation", ["venv"], indirect=True)
@pytest.mark.parametrize("text", ["12", "1MB", "lots", "-3GB"])
def test_a_limit_that_is_none_is_refused(checkout, text):
    done = checkout.run("run", "--engines", "dummy", "--device", "cpu", "--memory-limit", text)
    assert done.returncode == 2 and "--memory-limit" in done.stderr and "Traceback" not in done.stderr
