"""How fast this device reads its memory right now, measured from inside the sandbox.

A decode step reads every weight once, so this is the speed limit of decoding. The probe is a program of its own
(common/probe.py): its buffer must not count as the engine's memory, and a CUDA context would outlive it in the engine's
process.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

GIB = 1 << 30
SMALLEST, LARGEST = GIB // 4, GIB
CACHES = 10  # times the last-level cache: what an earlier pass left there cannot matter
TIMEOUT_S = 60
MADV_HUGEPAGE = 14


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


def probe(device: str, threads: int, seconds: float) -> dict[str, Any] | None:
    """Run the probe in a process of its own; None where this device cannot be probed (the reason goes to stderr).

    Gives {"best_gbs", "gbs" (every pass), "method", "buffer_bytes", "threads", "last_level_cache"}; 1 GB is 10^9 bytes.
    """
    command = [sys.executable, "-m", "common.probe", "--device", device]
    command += ["--threads", str(threads), "--seconds", str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"no bandwidth: {error} {getattr(error, 'stderr', None) or ''}", file=sys.stderr)
        return None


def host_bandwidth(threads: int, seconds: float) -> dict[str, Any]:
    """Read bandwidth of the host's memory: `threads` threads look for a byte that is not there, or for a difference.

    memchr and memcmp are the C library's streaming reads (SIMD, no arithmetic, nothing written), are everywhere, and
    need no compiler; ctypes lets go of the interpreter lock meanwhile. They take turns, and the faster counts: on one
    CPU the single stream of memchr reached 87 % of a C kernel, the two streams of memcmp all of it. Each thread touches
    its own part first, so that a page lies on the node that reads it.
    """
    cache = last_level_cache()
    size = min(max(CACHES * cache, SMALLEST), LARGEST) if cache else LARGEST
    half = size // threads // 2 & -4096
    part = 2 * half
    library = ctypes.CDLL(None)
    library.memchr.restype = ctypes.c_void_p
    library.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    library.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    # Private: a shared mapping gets no huge pages, and a third of the bandwidth of one thread goes into page walks.
    memory = mmap.mmap(-1, part * threads, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(memory, "madvise"):
        memory.madvise(MADV_HUGEPAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    passes: list[float] = []
    times = [(0, 0)] * threads  # taken by the threads: the one that waits for them may be woken after they began
    gate = threading.Barrier(threads + 1)
    going = True

    def work(number: int) -> None:
        start = address + number * part
        ctypes.memset(start, 1, part)
        while True:
            gate.wait()
            if not going:
                return
            started = time.perf_counter_ns()
            if len(passes) % 2:
                library.memcmp(start, start + half, half)
            else:
                library.memchr(start, 0, part)
            times[number] = started, time.perf_counter_ns()
            gate.wait()

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    until = time.monotonic() + seconds
    while len(passes) < 4 or time.monotonic() < until:
        gate.wait()
        gate.wait()
        passes.append(part * threads / (max(end for _, end in times) - min(start for start, _ in times)))
    going = False
    gate.wait()
    return _result(passes, "memchr and memcmp in turn", part * threads, threads, cache)


def device_bandwidth(library: str, prefix: str, seconds: float) -> dict[str, Any]:
    """Bandwidth of a GPU's memory by a copy within it (every byte is read and written once), through its driver.

    `library` and `prefix` name the interface: libcuda.so.1 with cu, libamdhip64.so with hip.
    """
    driver = _Driver(library, prefix)
    source, target = driver.allocate(LARGEST), driver.allocate(LARGEST)
    passes: list[float] = []
    until = time.monotonic() + seconds
    while len(passes) < 4 or time.monotonic() < until:
        started = time.perf_counter_ns()
        for _ in range(8):
            driver.copy(target, source, LARGEST)
        driver.wait()
        passes.append(8 * 2 * LARGEST / (time.perf_counter_ns() - started))
    return _result(passes[1:], f"{prefix} device-to-device copy, read + write", 2 * LARGEST, None, driver.cache_bytes)


class _Driver:
    """The calls that a copy needs, under their names in CUDA's driver interface and in HIP.

    `cache_bytes` is the last-level cache: what fits there is not read from memory again. HIP does not tell of AMD's
    Infinity Cache; the largest so far is assumed.
    """

    L2_CACHE_SIZE = 38  # CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
    INFINITY_CACHE = 256 << 20

    def __init__(self, library: str, prefix: str):
        self._library = ctypes.CDLL(library)
        hip = prefix == "hip"
        self._names = {
            "allocate": "hipMalloc" if hip else "cuMemAlloc_v2",
            "wait": "hipDeviceSynchronize" if hip else "cuCtxSynchronize",
            "copy": "hipMemcpyDtoDAsync" if hip else "cuMemcpyDtoDAsync_v2",
        }  # fmt: skip
        if hip:
            self._call("hipSetDevice", ctypes.c_int(0))
            self.cache_bytes = self.INFINITY_CACHE
            return
        self._call("cuInit", ctypes.c_uint(0))
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        size = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(size), ctypes.c_int(self.L2_CACHE_SIZE), device)
        self.cache_bytes = size.value

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise OSError(f"{name} returned {status}")

    def allocate(self, size: int) -> ctypes.c_void_p:
        address = ctypes.c_void_p()
        self._call(self._names["allocate"], ctypes.byref(address), ctypes.c_size_t(size))
        return address

    def copy(self, target: ctypes.c_void_p, source: ctypes.c_void_p, size: int) -> None:
        self._call(self._names["copy"], target, source, ctypes.c_size_t(size), ctypes.c_void_p(None))

    def wait(self) -> None:
        self._call(self._names["wait"])


def _result(
    passes: list[float], method: str, buffer_bytes: int, threads: int | None, cache: int | None
) -> dict[str, Any]:
    return {
        "best_gbs": round(max(passes), 3), "gbs": [round(each, 3) for each in passes], "method": method,
        "buffer_bytes": buffer_bytes, "threads": threads, "last_level_cache": cache,
    }  # fmt: skip
