"""What the machine did during a launch: memory and CPU time of this process tree, and CPU time that others took.

A busy neighbour can make an engine whose threads spin at a barrier hundreds of times slower, so foreign CPU time is
recorded for every iteration.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

MIB = 1024 * 1024
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += [int(child) for child in task.read_text().split()]
        except OSError:  # the thread ended between the listing and the read
            continue
    return children


def process_tree(root: int) -> list[int]:
    """`root` and all its living descendants (Linux; elsewhere only `root`)."""
    tree, queue = [], [root]
    while queue:
        pid = queue.pop()
        tree.append(pid)
        queue += _children(pid)
    return tree


def cpu_seconds(pid: int) -> float:
    """CPU seconds of one process and its ended children so far; 0 where the process is gone or /proc is absent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(value) for value in fields[11:15]) * _TICK_S  # utime stime cutime cstime


def read_bytes(pid: int) -> int:
    """Bytes that one process has read from storage so far; 0 where the process is gone or /proc is absent.

    Storage only: the memory probe reads /proc all the time.
    """
    try:
        words = Path(f"/proc/{pid}/io").read_text(encoding="ascii").split()
        return int(words[words.index("read_bytes:") + 1])
    except (OSError, ValueError, IndexError):
        return 0


def thread_count() -> int:
    """Threads of this process; Linux only."""
    return len(os.listdir("/proc/self/task"))


def processes_left(patience_s: float = 2.0) -> list[str]:
    """Command lines of descendants that still run after at most `patience_s` seconds; [] where /proc is absent.

    Python's own resource tracker does not count: it ends with a pipe that this process holds.
    """
    deadline = time.monotonic() + patience_s
    while True:
        left = []
        for pid in process_tree(os.getpid())[1:]:
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(words) and not any(
                "resource_tracker" in word for word in words
            ):  # a zombie has an empty command line
                left.append(" ".join(words).strip())
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _resident_kib(pid: int) -> tuple[int, int]:
    """(anonymous + shared memory, mapped file pages) of one process in KiB; file pages are the page cache's."""
    private = mapped = 0
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith(("RssAnon:", "RssShmem:")):
                    private += int(line.split()[1])
                elif line.startswith("RssFile:"):
                    mapped = int(line.split()[1])
    except OSError:
        return 0, 0
    return private, mapped


class MemoryProbe:
    """Samples the process tree's memory at 20 Hz from a thread; about 0.1 ms of CPU per sample.

    `peak()` gives {"peak_host_mib", "peak_mapped_file_mib", "source"}; values are None where /proc is absent.
    """

    INTERVAL_S = 0.05
    RELIST_EVERY = 20  # the process tree is listed once a second: listing costs more than reading

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._peak = self._peak_mapped = 0
        self._available = Path("/proc/self/status").exists()
        self._thread = threading.Thread(target=self._run, name="memory-probe", daemon=True)
        if self._available:
            self._thread.start()

    def _run(self) -> None:
        pid, count, is_last = os.getpid(), 0, False
        tree: list[int] = []
        while True:
            # The last sample lists anew: a child that started since the last listing holds the model in a short launch.
            if is_last or count % self.RELIST_EVERY == 0:
                tree = process_tree(pid)
            count += 1
            sizes = [_resident_kib(process) for process in tree]
            self._peak = max(self._peak, sum(private for private, _ in sizes))
            self._peak_mapped = max(self._peak_mapped, sum(mapped for _, mapped in sizes))
            if is_last:
                return
            is_last = self._stop.wait(self.INTERVAL_S)

    def stop(self) -> None:
        """End the sampling. May be called more than once."""
        self._stop.set()
        if self._available:
            self._thread.join()

    def peak(self) -> dict[str, float | str | None]:
        """Stop sampling and return the peaks in MiB."""
        self.stop()
        if not self._available:
            return {"peak_host_mib": None, "peak_mapped_file_mib": None, "source": "unavailable: no /proc"}
        return {
            "peak_host_mib": round(self._peak / 1024, 1),
            "peak_mapped_file_mib": round(self._peak_mapped / 1024, 1),
            "source": "sum of RssAnon + RssShmem over the process tree, 20 Hz",
        }


class CpuClock:
    """CPU seconds between two marks: this process tree's (with ended children) and everyone else's on this host."""

    def __init__(self) -> None:
        self._mark = self._read()

    @staticmethod
    def _own() -> float:
        return sum(map(cpu_seconds, process_tree(os.getpid())))

    @classmethod
    def _read(cls) -> tuple[float, float, float] | None:
        """(host busy, host steal, own) CPU seconds, None where /proc/stat is absent."""
        try:
            with open("/proc/stat", encoding="ascii") as stat:
                ticks = [int(value) for value in stat.readline().split()[1:9]]
        except OSError:
            return None
        user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
        return (user + nice + system + irq + softirq) * _TICK_S, steal * _TICK_S, cls._own()

    def lap(self) -> dict[str, float | None]:
        """CPU seconds since the last lap: {"own_cpu_s", "foreign_cpu_s", "steal_s"}, None where unreadable.

        The counters tick at 100 Hz, so a short iteration's figures are coarse: a foreign share is judged only over
        iterations of several ticks.
        """
        before, self._mark = self._mark, self._read()
        if before is None or self._mark is None:
            return {"own_cpu_s": None, "foreign_cpu_s": None, "steal_s": None}
        busy, steal, own = (after - start for after, start in zip(self._mark, before, strict=True))
        return {
            "own_cpu_s": round(own, 3),
            "foreign_cpu_s": round(max(0.0, busy - own), 3),
            "steal_s": round(steal, 3),
        }
