"""Faults of the dummy, to provoke every outcome of the suite.

settings: fault (one of FAULTS), fault_after (steps), forged (one of FORGED, or link, pipe, huge), look_around (report
what the process can access), log_bytes (of noise in the log; with log_line on one line).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench_dummy.surroundings import look_around

FORGED = {
    "empty": "",
    "cut": '{"schema": 1, "outcome": "ok", "lo',
    "nan": '{"schema": 1, "outcome": "ok", "load_s": NaN}',
    "other": '{"schema": 99, "outcome": "ok"}',
    "bare": '{"schema": 1, "outcome": "ok"}',
}
LEAK_BYTES = 64 << 20
FOREVER_S = 1e6


class Faults:
    """The fault in one launch's settings; without one every method is a no-op."""

    def __init__(self, settings):
        self._settings = settings
        self.name = settings.get("fault")
        self._leaked: list[bytes] = []
        if self.name is not None and self.name not in FAULTS:
            raise ValueError(f"unknown fault {self.name!r}; known: {', '.join(FAULTS)}")

    def in_load(self, loaded):
        """Called with the true Loaded; returns the one to report."""
        if "log_bytes" in self._settings:
            shout(self._settings["log_bytes"], b"" if self._settings.get("log_line") else b"\n")
        if self.name in IN_LOAD:
            IN_LOAD[self.name]()
        if self.name == "lying_dtype":
            loaded = replace(loaded, dtype="float16")
        if self.name == "lying_bytes":
            loaded = replace(loaded, weight_bytes=loaded.weight_bytes // 2)
        return replace(loaded, extra=look_around()) if self._settings.get("look_around") else loaded

    def steps(self, new_tokens):
        """The number of decode steps to yield."""
        return new_tokens + {"too_few_tokens": -1, "too_many_tokens": 1}.get(self.name, 0)

    def in_step(self, step):
        if self.name == "leak":
            self._leaked.append(b"x" * LEAK_BYTES)
        if self.name in IN_STEP and step == self._settings.get("fault_after", 3):
            IN_STEP[self.name](self._settings)

    def handed_over(self, ids):
        """The ids to yield instead of a step's ids [batch]."""
        return ids[1:] if self.name == "wrong_batch" else ids

    def in_close(self):
        if self.name == "hang_in_close":
            hang()


def raise_in_load():
    raise RuntimeError("the dummy was told to fail in load")


def raise_in_generate(_settings):
    raise RuntimeError("the dummy was told to fail in generate")


def hang(*_):
    time.sleep(FOREVER_S)


def ignore_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def leave_process():
    subprocess.Popen(["sleep", "7"])


def leave_session():
    """Leave a process outside this process's group."""
    subprocess.Popen(["sleep", "8"], start_new_session=True)


def spin(_settings):
    while True:
        pass


def fork_bomb(_settings):
    while os.fork():
        pass
    hang()


def segfault(_settings):
    ctypes.string_at(0)


def abort(_settings):
    os.abort()


def exit_zero(_settings):
    os._exit(0)


def eat_memory(*_):
    hoard = []
    while True:
        hoard.append(b"x" * LEAK_BYTES)


def eat_memory_in_child(_settings):
    child = subprocess.run([sys.executable, "-c", f"import {__name__} as faults; faults.eat_memory()"], check=False)
    raise RuntimeError(f"a helper ended with {child.returncode}")


def forge(settings):
    """Write a forged result.json and exit with code 0."""
    kind = settings["forged"]
    opened = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    path = Path(next(name for name in opened if name.endswith("/samples.jsonl"))).with_name("result.json")
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        path.touch()
        os.truncate(path, 200 << 20)
    else:
        path.write_text(FORGED[kind])
    os._exit(0)


def shout(count, ending):
    """Write `count` bytes of noise to the log, in lines of 1000 or on one."""
    chunk = (bytes(range(128, 256)) * 8)[:999] + (ending or b"x")
    for _ in range(count // len(chunk)):
        os.write(2, chunk)


IN_LOAD = {
    "raise_in_load": raise_in_load,
    "hang_in_load": hang,
    "ignore_sigterm": ignore_sigterm,
    "leave_process": leave_process,
    "leave_session": leave_session,
}
IN_STEP = {
    "raise_in_generate": raise_in_generate,
    "hang_in_generate": hang,
    "spin": spin,
    "fork_bomb": fork_bomb,
    "segfault": segfault,
    "abort": abort,
    "exit_zero": exit_zero,
    "eat_memory": eat_memory,
    "eat_memory_in_child": eat_memory_in_child,
    "forge": forge,
}
ELSEWHERE = ("too_few_tokens", "too_many_tokens", "wrong_batch", "hang_in_close", "leak", "lying_dtype", "lying_bytes")
FAULTS = (*IN_LOAD, *IN_STEP, *ELSEWHERE)
