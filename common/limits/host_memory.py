"""Read bandwidth of the host's memory, by the C library's own streaming reads."""

from __future__ import annotations

import ctypes
import mmap
import threading
import time
from pathlib import Path
from typing import Any

GIB = 1 << 30
SMALLEST, LARGEST = GIB // 4, GIB
CACHES = 10  # times the last-level cache, so that what an earlier pass left in it does not matter
MADV_HUGEPAGE = 14
MIN_PASSES = 4


def last_level_cache(root: Path = Path("/sys/devices/system/cpu")) -> int | None:
    """Bytes of all last-level caches together, None where the kernel does not say."""
    instances: dict[str, tuple[int, int]] = {}
    for index in root.glob("cpu[0-9]*/cache/index*"):
        try:
            level, kind = int((index / "level").read_text()), (index / "type").read_text().strip()
            size, shared = (index / "size").read_text().strip(), (index / "shared_cpu_list").read_text().strip()
        except (OSError, ValueError):
            continue
        if kind != "Instruction":
            scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1:], 1)
            instances[f"{level}:{shared}"] = level, int(size.rstrip("KMG")) * scale
    deepest = max((level for level, _ in instances.values()), default=0)
    return sum(size for level, size in instances.values() if level == deepest) or None


def host_bandwidth(threads: int, seconds: float) -> dict[str, Any]:
    """Read the memory with `threads` threads for `seconds`; see `bandwidth.probe` for what is returned.

    Alternates memchr for an absent byte (one stream) with memcmp of two equal halves (two streams). Both are SIMD reads
    without arithmetic or writes, present everywhere, and ctypes releases the interpreter lock during the call. On one
    CPU memchr reached 87 % of a C kernel's bandwidth and memcmp all of it, so the fastest pass counts.
    """
    cache = last_level_cache()
    size = min(max(CACHES * cache, SMALLEST), LARGEST) if cache else LARGEST
    half = size // threads // 2 & -4096
    part = 2 * half
    # Private: a shared mapping gets no huge pages, and page walks then cost one thread a third of its bandwidth.
    memory = mmap.mmap(-1, part * threads, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(memory, "madvise"):
        memory.madvise(MADV_HUGEPAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    readers = _Readers(address, half, threads)
    passes: list[float] = []
    deadline = time.monotonic() + seconds
    while len(passes) < MIN_PASSES or time.monotonic() < deadline:
        passes.append(part * threads / readers.read(by_memcmp=len(passes) % 2 == 1))
    readers.stop()
    return reading(passes, "memchr and memcmp in turn", part * threads, threads, cache)


class _Readers:
    """Threads that read the buffer at `address` together: `threads` parts of two halves of `half` bytes."""

    def __init__(self, address: int, half: int, threads: int):
        self._address, self._half = address, half
        self._library = ctypes.CDLL(None)
        self._library.memchr.restype = ctypes.c_void_p
        self._library.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        self._library.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        # (start, end) as each thread saw it: the waiting thread may wake up after the others have begun.
        self._times = [(0, 0)] * threads
        self._gate = threading.Barrier(threads + 1)
        self._running, self._by_memcmp = True, False
        for number in range(threads):
            threading.Thread(target=self._work, args=(number,), daemon=True).start()

    def read(self, by_memcmp: bool) -> int:
        """One pass over the whole buffer; returns nanoseconds from the first thread's start to the last one's end."""
        self._by_memcmp = by_memcmp
        self._gate.wait()
        self._gate.wait()
        return max(end for _, end in self._times) - min(start for start, _ in self._times)

    def stop(self) -> None:
        self._running = False
        self._gate.wait()

    def _work(self, number: int) -> None:
        start, half = self._address + 2 * number * self._half, self._half
        ctypes.memset(start, 1, 2 * half)  # first touch: the pages are placed on the node that reads them
        while True:
            self._gate.wait()
            if not self._running:
                return
            started = time.perf_counter_ns()
            if self._by_memcmp:
                self._library.memcmp(start, start + half, half)
            else:
                self._library.memchr(start, 0, 2 * half)
            self._times[number] = started, time.perf_counter_ns()
            self._gate.wait()


def reading(
    passes: list[float], method: str, buffer_bytes: int, threads: int | None, cache: int | None
) -> dict[str, Any]:
    """The record of a bandwidth measurement; `passes` in GB/s (bytes per nanosecond)."""
    return {
        "best_gbs": round(max(passes), 3),
        "gbs": [round(gbs, 3) for gbs in passes],
        "method": method,
        "buffer_bytes": buffer_bytes,
        "threads": threads,
        "last_level_cache": cache,
    }
