"""The first process of a launch: runs one module as its child and makes sure that nothing outlives the launch.

    python -m common.supervise [--lease FILE] [--hang-s SECONDS] [--watch FILE] -- MODULE [ARGUMENT...]

* The orchestrator holds a lock on FILE while it lives. A free lock means that it was killed, and the child is ended.
* A child hangs if for `hang-s` seconds the watched file does not grow and the child neither uses 5 % of a core nor
  reads from storage. It then gets SIGABRT, on which faulthandler prints every thread's stack, and the exit code is 124.
  (A child that spins is left to the wall limit.)
* SIGTERM and SIGINT are passed on; the child is killed GRACE_S seconds later.
* A log file that exceeds LOG_LIMIT is truncated to its end.
* Whatever the child leaves running is killed.

Exit code: the child's, 128 + n where signal n ended it, 124 where it hung.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import resource
import select
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from common.machine import cpu_seconds, process_tree, read_bytes

TICK_S = 1.0  # between checks of the lease, which take microseconds
LOOKS = 4  # checks of the processes within `hang-s`; each takes tenths of a millisecond
BUSY = 0.05  # of a core; the memory probe alone takes 0.002
LOG_LIMIT, LOG_KEPT = 10 << 20, 1 << 20  # bytes
GRACE_S = 2.0  # an engine has nothing to save
HUNG = 124  # the exit code of timeout(1)
PR_SET_CHILD_SUBREAPER = 36


class Lease:
    """The orchestrator's lock. Never `lapsed` where locks are not visible here (some virtual machines' file shares)."""

    def __init__(self, path: Path | None):
        self._file = path.open("rb") if path else None
        if self._free():
            print("supervise: the orchestrator's lease is not visible here, so it is not watched", file=sys.stderr)
            self._file = None

    def _free(self) -> bool:
        if self._file is None:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return True

    def lapsed(self) -> bool:
        """Whether the orchestrator has let go of its lock."""
        return self._free()


class Life:
    """Signs of life of a process tree. `silent_s` is the time since the last one, always 0 where /proc is absent."""

    def __init__(self, pid: int, watched: Path | None, every_s: float):
        self._pid, self._watched, self._every_s = pid, watched, every_s
        self._seen = self._read()
        self._last_look = self._last_sign = time.monotonic()

    def _read(self) -> tuple[float, int, int]:
        size = 0
        with suppress(OSError):
            size = self._watched.stat().st_size if self._watched else 0
        tree = process_tree(self._pid)
        return sum(map(cpu_seconds, tree)), sum(map(read_bytes, tree)), size

    def silent_s(self) -> float:
        """Seconds since the last sign of life. Looks at the processes at most once in `every_s`."""
        now = time.monotonic()
        if not Path("/proc/self").exists():
            return 0.0
        if now - self._last_look >= self._every_s:
            (cpu, read, size), before = self._read(), self._seen
            if cpu - before[0] >= BUSY * (now - self._last_look) or read != before[1] or size != before[2]:
                self._last_sign = now
            self._seen, self._last_look = (cpu, read, size), now
        return now - self._last_sign


def main() -> None:
    """Never returns."""
    parser = argparse.ArgumentParser(description="Run a module, and end it when its time is over.")
    parser.add_argument("--lease", type=Path)
    parser.add_argument("--hang-s", type=float)
    parser.add_argument("--watch", type=Path)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    lease = Lease(options.lease)
    # Orphaned grandchildren become this process's children, so that it can kill them at the end.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGABRT is for the stacks
    wakeup, received = _signals()
    child = subprocess.Popen([sys.executable, "-m", *options.command])
    life = Life(child.pid, options.watch, (options.hang_s or 0) / LOOKS)
    code = None
    while child.poll() is None:
        select.select([wakeup], [], [], min(TICK_S, (options.hang_s or TICK_S) / LOOKS))
        with suppress(BlockingIOError):
            os.read(wakeup, 1024)
        _cut_logs()
        if received:
            _end(child, received[0])
        elif lease.lapsed():
            print("supervise: the host is gone; this ends here", file=sys.stderr, flush=True)
            _end(child, signal.SIGTERM)
        elif options.hang_s and life.silent_s() > options.hang_s:
            print(
                f"supervise: no sign of life for {options.hang_s:.0f} s; where it hangs:", file=sys.stderr, flush=True
            )
            _end(child, signal.SIGABRT)
            code = HUNG
    if code is None:
        code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    _kill_descendants()
    os._exit(code)


def _signals() -> tuple[int, list[int]]:
    """(a descriptor that becomes readable on any signal, the list of termination signals received so far)."""
    read, write = os.pipe()  # not inherited by the child
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    received: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for termination in (signal.SIGTERM, signal.SIGINT):
        signal.signal(termination, lambda number, _: received.append(number))
    return read, received


def _cut_logs() -> None:
    """Truncate stdout and stderr where they are files, opened for appending (otherwise a hole would follow)."""
    for descriptor in (1, 2):
        facts = os.fstat(descriptor)
        if stat.S_ISREG(facts.st_mode) and facts.st_size > LOG_LIMIT:
            with open(f"/proc/self/fd/{descriptor}", "rb") as file:
                file.seek(-LOG_KEPT, os.SEEK_END)
                kept = file.read(LOG_KEPT)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"[supervise: the log passed %d bytes; its end follows]\n" % LOG_LIMIT + kept)


def _end(child: subprocess.Popen, number: int) -> None:
    child.send_signal(number)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _kill_descendants() -> None:
    """Repeat until none is left: a process may start another one while it is being killed."""
    for _ in range(100):
        left = process_tree(os.getpid())[1:]
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


if __name__ == "__main__":
    main()
