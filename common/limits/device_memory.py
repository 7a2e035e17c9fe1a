"""Bandwidth of a GPU's memory, by copies within it through the driver's C interface."""

from __future__ import annotations

import ctypes
import time
from typing import Any

from common.limits.host_memory import LARGEST, MIN_PASSES, reading

COPIES_PER_PASS = 8
CUDA = {"allocate": "cuMemAlloc_v2", "wait": "cuCtxSynchronize", "copy": "cuMemcpyDtoDAsync_v2"}
HIP = {"allocate": "hipMalloc", "wait": "hipDeviceSynchronize", "copy": "hipMemcpyDtoDAsync"}


def device_bandwidth(library: str, prefix: str, seconds: float) -> dict[str, Any]:
    """Copy within the device for `seconds` (every byte is read and written once); see `bandwidth.probe` for the result.

    `library` and `prefix` name the interface: libcuda.so.1 with cu, libamdhip64.so with hip.
    Raises OSError where the driver is missing or a call fails.
    """
    driver = _Driver(library, prefix)
    source, target = driver.allocate(LARGEST), driver.allocate(LARGEST)
    passes: list[float] = []
    deadline = time.monotonic() + seconds
    while len(passes) < MIN_PASSES or time.monotonic() < deadline:
        started = time.perf_counter_ns()
        for _ in range(COPIES_PER_PASS):
            driver.copy(target, source, LARGEST)
        driver.wait()
        passes.append(COPIES_PER_PASS * 2 * LARGEST / (time.perf_counter_ns() - started))
    # The first pass pays for the driver's own start.
    return reading(passes[1:], f"{prefix} device-to-device copy, read + write", 2 * LARGEST, None, driver.cache_bytes)


class _Driver:
    """The calls that a copy needs, under their names in CUDA's driver interface and in HIP.

    `cache_bytes` is the last-level cache: what fits there is not read from memory again. HIP does not report AMD's
    Infinity Cache, so the largest one shipped so far is assumed.
    """

    L2_CACHE_SIZE = 38  # CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
    INFINITY_CACHE = 256 << 20

    def __init__(self, library: str, prefix: str):
        self._library = ctypes.CDLL(library)
        if prefix == "hip":
            self._names, self.cache_bytes = HIP, self.INFINITY_CACHE
            self._call("hipSetDevice", ctypes.c_int(0))
            return
        self._names = CUDA
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
