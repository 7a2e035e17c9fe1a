"""Faults provoked for real, by the numbers of docs/security.md: bench_dummy in containers, and what each ends in."""

import json
import os
import signal
import subprocess
import time

import pytest
from suite import leftovers, rows

pytestmark = pytest.mark.container

SMALL = ("--prompt-tokens", "16", "--new-tokens", "12")


def start(checkout, *arguments):
    """A run in the background, and its results directory."""
    out = checkout.path / "results" / "background"
    arguments = ("run", "--device", "cpu", "--no-quality", *SMALL, "--out", str(out), *arguments)
    return checkout.start(*arguments), out


def wait_for(what, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come so far in time"
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return found


# -- 8, 9, 12: how an engine ends --------------------------------------------------------------------------------------


def test_every_way_to_die_has_its_word_and_the_others_go_on(checkout, daemon):
    faults = {
        "good": None, "raise": "raise_in_generate", "segfault": "segfault", "abort": "abort", "gone": "exit_zero",
        "hang-load": "hang_in_load", "hang-generate": "hang_in_generate", "hang-close": "hang_in_close",
        "session": "leave_session",
    }  # fmt: skip
    checkout.engine("dying", {name: {"settings": {"fault": fault} if fault else {}} for name, fault in faults.items()})
    _, summary, out = checkout.measure("--engines", "dying", "--no-quality", "--hang-timeout", "8", *SMALL)
    found = rows(summary)
    assert {name: row["outcome"] for name, row in found.items()} == {
        "good": "ok", "raise": "engine_error", "segfault": "engine_error", "abort": "engine_error", "gone": "no_result",
        "hang-load": "timeout_hung", "hang-generate": "timeout_hung", "hang-close": "timeout_hung", "session": "ok",
    }  # fmt: skip
    assert "signal 11" in found["segfault"]["reason"] and "signal 6" in found["abort"]["reason"]
    assert "told to fail in generate" in found["raise"]["reason"]
    for name, place in (("hang-load", "in load"), ("hang-generate", "in _fail"), ("hang-close", "in close")):
        assert place in found[name]["reason"]
    assert leftovers(daemon) == []
    # What was sampled before the fault is kept, and no row is made of it.
    kept = next(out.glob("launches/dying-hang-close-*/out/samples.jsonl")).read_text().splitlines()
    assert len(kept) > 3 and found["hang-close"]["decode_tps"] is None


def test_an_engine_that_is_deaf_to_sigterm_ends_at_the_wall_limit(checkout, daemon):
    checkout.engine(
        "deaf", {"deaf": {"settings": {"fault": "ignore_sigterm"}}, "spin": {"settings": {"fault": "spin"}}}
    )
    _, summary, _ = checkout.measure("--engines", "deaf", "--no-quality", "--timeout", "10", *SMALL)
    assert {row["outcome"] for row in summary["rows"]} == {"timeout_wall"}
    assert leftovers(daemon) == []


# -- 2: builds ---------------------------------------------------------------------------------------------------------


def test_a_build_that_hangs_is_killed_and_the_others_go_on(checkout, daemon):
    checkout.engine("stuck", {"one": {}})
    checkout.engine("good", {"one": {}})
    dockerfile = checkout.path / "bench_stuck" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("COPY docker", "RUN echo before; sleep 600\nCOPY docker", 1))
    checkout.run("build", "--engines", "good,dummy", "--device", "cpu")  # these take their time, too
    began = time.monotonic()
    done, summary, _ = checkout.measure("--engines", "stuck,good", "--no-quality", "--build-timeout", "20", *SMALL)
    assert time.monotonic() - began < 300
    found = {row["engine"]: row for row in summary["rows"]}
    assert found["stuck"]["outcome"] == "build_failed" and found["good"]["outcome"] == "ok"
    assert "20 s" in found["stuck"]["reason"] and "before" in found["stuck"]["reason"]
    assert done.returncode == 1
    deadline = time.monotonic() + 30  # the daemon ends the step once its client is gone
    while [each for each in daemon.containers.list() if "sleep 600" in str(each.attrs["Args"])]:
        assert time.monotonic() < deadline
        time.sleep(0.5)


# -- 13, 14: signals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_a_stopped_run_loses_nothing(checkout, daemon, signals):
    checkout.engine("slow", {"quick": {}, "slow": {"settings": {"step_ms": 400}}})
    checkout.run("build", "--engines", "slow,dummy", "--device", "cpu")
    process, out = start(checkout, "--engines", "slow", "--seed", "3")
    wait_for(lambda: list(out.glob("launches/slow-slow-*/out/samples.jsonl")), process)
    for each in signals:
        process.send_signal(each)
        time.sleep(0.2)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert leftovers(daemon) == []
    last = json.loads((out / "journal.jsonl").read_text().splitlines()[-1])
    assert (last["kind"], last["outcome"]) == ("end", "interrupted")


def test_a_killed_orchestrator_s_launch_ends_itself_and_the_next_start_removes_it(checkout, daemon):
    checkout.engine("slow", {"slow": {"settings": {"step_ms": 400}}})
    checkout.run("build", "--engines", "slow,dummy", "--device", "cpu")
    process, out = start(checkout, "--engines", "slow")
    wait_for(lambda: list(out.glob("launches/slow-slow-*/out/samples.jsonl")), process)
    process.kill()
    process.wait()
    (orphan,) = leftovers(daemon)
    deadline = time.monotonic() + 30
    while orphan.status == "running":
        assert time.monotonic() < deadline, "the launch outlived its lease"
        time.sleep(0.5)
        orphan.reload()
    assert b"the host is gone" in orphan.logs()
    other = daemon.containers.create(orphan.image, labels={"llm-inference-bench": "launch"})  # nobody's: it stays
    try:
        again = checkout.run("run", "--device", "cpu", "--engines", "slow", "--no-quality", *SMALL, "--out", str(out),
                             "--resume")  # fmt: skip
        assert again.returncode == 0, again.stderr
        assert "removed 1 container(s) of a run that was killed" in again.stderr
        assert [each.id for each in leftovers(daemon)] == [other.id]
    finally:
        other.remove(force=True)


# -- 16: a full disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system with 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("a small file system needs root and mount")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def test_a_full_disk_stops_the_run_and_leaves_it_readable(checkout, daemon, small_disk):
    checkout.engine("wordy", {"one": {"settings": {"log_bytes": 200_000}}})
    out = small_disk / "results"
    arguments = ("run", "--device", "cpu", "--engines", "wordy", "--no-quality", *SMALL, "--launches", "40", "--out")
    done = checkout.run(*arguments, str(out))
    assert done.returncode == 1
    assert "disk full" in done.stderr and "Traceback" not in done.stderr
    (small_disk / "results" / "launches").rename(small_disk / "gone")
    subprocess.run(["rm", "-r", str(small_disk / "gone")], check=True)
    measured = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert sum(each["kind"] == "launch" and each["outcome"] == "ok" for each in measured) >= 2
    assert leftovers(daemon) == []


# -- 24: logs ----------------------------------------------------------------------------------------------------------


def test_a_log_of_any_size_and_kind_is_capped(checkout):
    noise = {"much": {"log_bytes": 300_000_000}, "line": {"log_bytes": 100_000_000, "log_line": True}}
    checkout.engine("loud", {name: {"settings": settings} for name, settings in noise.items()})
    _, summary, out = checkout.measure("--engines", "loud", "--no-quality", *SMALL)
    assert {row["outcome"] for row in summary["rows"]} == {"ok"}
    assert max(path.stat().st_size for path in out.rglob("std*.log")) < 12 << 20


# -- 26, 28: what an engine's code can reach, and who sees the token ---------------------------------------------------


def test_an_engine_s_code_is_locked_in(checkout, daemon, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_test")
    faults = {"look": {"look_around": True}, "bomb": {"fault": "fork_bomb"}}
    checkout.engine("curious", {name: {"settings": settings} for name, settings in faults.items()})
    done, summary, out = checkout.measure("--engines", "curious", "--no-quality", *SMALL)
    found = rows(summary)
    assert found["bomb"]["outcome"] == "engine_error" and "Resource temporarily unavailable" in found["bomb"]["reason"]
    seen = found["look"]["loaded"]["extra"]
    assert not any(seen["reached"].values()), seen["reached"]
    assert seen["uid"] != 0 and int(seen["capabilities"], 16) == 0 and seen["no_new_privileges"] == "1"
    assert seen["interfaces"] == ["lo"] and seen["sockets"] == []
    assert not {"sda", "vda", "nvme0n1", "mem", "kmsg"} & set(seen["devices"])
    assert all("supervise" in line or "bench_curious" in line for line in seen["command_lines"])
    assert "HF_TOKEN" not in seen["environment"]
    image = daemon.images.get(found["look"]["image"])
    everywhere = [done.stdout, done.stderr, json.dumps(image.attrs), json.dumps(image.history())]
    everywhere += [path.read_text(errors="replace") for path in out.rglob("*") if path.is_file()]
    assert len(everywhere) > 20
    assert not [text for text in everywhere if "hf_secret_of_the_test" in text]
