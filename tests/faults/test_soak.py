"""A soak: launches that fail at random, an orchestrator that is killed and stopped meanwhile, and nothing lost or left.

12 launches in containers, 30 without; BENCH_SOAK=500 makes so many.
"""

import json
import os
import random
import signal
import subprocess
import time
from statistics import median

import psutil

from tests.support.checkout import SMALL, rows

COUNTS = {"docker": 12, "venv": 30}
SEED = 20261121
ENDS = {  # fault: the word in which it ends
    "raise_in_load": "load_failed", "raise_in_generate": "engine_error", "segfault": "engine_error",
    "abort": "engine_error", "exit_zero": "no_result", "too_few_tokens": "invalid_output",
    "too_many_tokens": "invalid_output", "wrong_batch": "invalid_output", "lying_dtype": "invalid_output",
    "lying_bytes": "invalid_output", "leave_process": "ok", "leave_session": "ok", "hang_in_generate": "timeout_hung",
    "hang_in_close": "timeout_hung",
}  # fmt: skip
HANGS = ("hang_in_generate", "hang_in_close")  # each takes seconds: they come less often
STEP_MS = 5
LIMITS = ("--hang-timeout", "3", "--launches", "1", "--seed", str(SEED), "--no-quality")


def test_nothing_is_lost_and_nothing_is_left(checkout, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"  # of its own: others, too, leave things in the machine's
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    rng, count = random.Random(SEED), int(os.environ.get("BENCH_SOAK", COUNTS[checkout.isolation]))
    faults = {f"v{number:03}": _fault(rng) for number in range(count)}
    settings = {name: {"step_ms": STEP_MS, **({"fault": fault} if fault else {})} for name, fault in faults.items()}
    checkout.engine("faulty", {name: {"settings": each} for name, each in settings.items()})
    checkout.engine("calm", {"one": {"settings": {"step_ms": STEP_MS}}})
    checkout.build("faulty", "calm", "dummy")
    _, calm, without = checkout.measure("--engines", "calm", "--no-quality", "--launches", "5", *SMALL)
    before = _around(checkout, temporary)
    arguments = ("--engines", "faulty", *LIMITS)
    process, out = checkout.start_run(*arguments, streams=subprocess.DEVNULL)
    for number, how in ((count // 8, signal.SIGKILL), (count // 4, signal.SIGTERM)):
        _wait_for_launches(out, number, process)
        process.send_signal(how)
        process.communicate(timeout=60)
        process, out = checkout.start_run(*arguments, "--resume", streams=subprocess.DEVNULL)
    sizes = _watch(process, out)
    process.communicate()
    assert process.returncode == 1

    # every launch is accounted for: each variant ends in its word, and each folder belongs to a record or to the kill
    records = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    ends = [each["outcome"] for each in records if each["kind"] == "end"]
    assert ends == ["interrupted", "finished"]  # the one that was killed could not say so
    found = rows(json.loads((out / "summary.json").read_text()))
    assert {name: row["outcome"] for name, row in found.items()} == {
        name: ENDS[fault] if fault else "ok" for name, fault in faults.items()
    }
    recorded = {each["directory"] for each in records if each["kind"] == "launch"}
    folders = {str(path.relative_to(out)) for path in (out / "launches").iterdir()}
    assert recorded <= folders and len(folders - recorded) <= 1

    # the good ones are as if there had been no fault beside them
    tokens = {_tokens(out / row["reproduce"]) for row in found.values() if row["outcome"] == "ok"}
    assert tokens == {_tokens(without / rows(calm)["one"]["reproduce"])}
    speeds = [row["decode_tps"]["median"] for row in found.values() if row["outcome"] == "ok"]
    assert abs(median(speeds) / rows(calm)["one"]["decode_tps"]["median"] - 1) < 0.05

    # nothing is left, and the orchestrator did not grow
    deadline = time.monotonic() + 30
    while checkout.left() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert checkout.left() == [] and _around(checkout, temporary) == before
    begin, end = (sizes[: len(sizes) // 4], sizes[-len(sizes) // 4 :])
    assert max(handles for _, handles in end) <= max(handles for _, handles in begin) + 2
    grown = median(memory for memory, _ in end) - median(memory for memory, _ in begin)
    print(f"{count} launches ({checkout.isolation}): the orchestrator grew by {grown / 1024:.0f} KiB, "
          f"{grown / count / 1024:.1f} KiB a launch")  # fmt: skip
    assert grown < 16 << 20


def _fault(rng):
    """Of ten launches four are good, and less than one hangs."""
    if rng.random() < 0.4:
        return None
    fault = rng.choice(list(ENDS))
    return fault if fault not in HANGS or rng.random() < 0.4 else None


def _around(checkout, temporary):
    """Names of what lies in the temporary folder, and of what is half done in the cache."""
    names = {path.name for path in temporary.iterdir()}
    return names, {path.name for path in (checkout.cache / "artefacts").glob(".*") if path.suffix != ".lock"}


def _launches(out):
    path = out / "journal.jsonl"
    return path.read_text().count('"kind": "launch"') if path.is_file() else 0


def _wait_for_launches(out, number, process):
    deadline = time.monotonic() + 60 + 10 * number
    while _launches(out) < number:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)


def _watch(process, out):
    """(resident bytes, open files) of the orchestrator, once a second from its fifth further launch on."""
    begun, sizes = _launches(out), []
    while process.poll() is None:
        if _launches(out) >= begun + 5:
            try:
                one = psutil.Process(process.pid)
                sizes.append((one.memory_info().rss, one.num_fds()))
            except psutil.Error:  # it ended
                break
        time.sleep(1)
    return sizes


def _tokens(script):
    samples = (json.loads(line) for line in (script.parent / "out" / "samples.jsonl").read_text().splitlines())
    return json.dumps([sample["ids"] for sample in samples][:3])
