"""Peak speed of dense matrix products, by the library that the image has: PyTorch, else numpy's BLAS in float32."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SMALLEST, LARGEST, LARGEST_GPU = 256, 2048, 8192  # rows and columns of the square matrices
ENOUGH_S = 0.05  # a product this long makes the cost of starting it negligible
MATMUL_S = 0.5


def peaks(kind: str, threads: int) -> dict[str, dict[str, Any]]:
    """{dtype: {"gflops", "n", "by"}} on a device of `kind`; empty for a GPU without PyTorch."""
    try:
        return with_torch(kind, threads)
    except ImportError:
        return with_numpy() if kind == "cpu" else {}


def matmul_peak(multiply: Callable[[int], Callable[[], Any]], largest: int) -> dict[str, float]:
    """The best speed of square products in 10^9 operations/s (2 n^3 a product): {"gflops", "n"}.

    `multiply(n)` prepares two n x n matrices and returns a function that multiplies once and waits for the result. The
    size doubles until a product takes ENOUGH_S, so that a dtype without fast kernels does not take minutes.
    """
    best, size = {"gflops": 0.0, "n": 0}, SMALLEST
    while True:
        once = multiply(size)
        once()
        began, deadline = time.perf_counter(), time.perf_counter() + MATMUL_S
        while True:
            started = time.perf_counter()
            once()
            took = time.perf_counter() - started
            if 2 * size**3 / took / 1e9 > best["gflops"]:
                best = {"gflops": round(2 * size**3 / took / 1e9, 3), "n": size}
            if time.perf_counter() > deadline or (time.perf_counter() - began > 3 * ENOUGH_S and size < largest):
                break
        if size >= largest or took > ENOUGH_S:
            return best
        size *= 2


def with_torch(kind: str, threads: int) -> dict[str, dict[str, Any]]:
    """Peaks by dtype through torch.mm, and torch._int_mm for int8. A dtype that the device lacks is left out.

    On a CPU float32 is tried through oneDNN as well, and the faster one counts: on AMD CPUs torch.mm calls a library
    that does not use AVX-512, and engines with oneDNN reached 150 % of that "peak".
    """
    import torch  # noqa: PLC0415 - only some images have it

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    on_cpu = kind == "cpu"
    device = torch.device("cpu" if on_cpu else "cuda")
    wait = (lambda: None) if on_cpu else torch.cuda.synchronize

    def multiply_in(dtype: Any) -> Callable[[int], Callable[[], Any]]:
        product = torch._int_mm if dtype is torch.int8 else torch.mm

        def multiply(size: int) -> Callable[[], Any]:
            a, b = (torch.ones(size, size, device=device).to(dtype) for _ in range(2))

            def once() -> None:
                product(a, b)
                wait()

            return once

        return multiply

    def through_onednn(size: int) -> Callable[[], Any]:
        a, b = (torch.ones(size, size).to_mkldnn() for _ in range(2))
        return lambda: torch.nn.functional.linear(a, b)

    best: dict[str, dict[str, Any]] = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.int8):
        name = str(dtype).removeprefix("torch.")
        try:
            peak = matmul_peak(multiply_in(dtype), LARGEST if on_cpu else LARGEST_GPU)
            best[name] = {**peak, "by": f"torch {torch.__version__}"}
        except (RuntimeError, NotImplementedError) as error:
            print(f"no {name} products: {str(error).splitlines()[0]}")
    if on_cpu and torch.backends.mkldnn.is_available():
        onednn: dict[str, Any] = {**matmul_peak(through_onednn, LARGEST), "by": f"torch {torch.__version__}, oneDNN"}
        best["float32"] = max(best.get("float32", onednn), onednn, key=lambda peak: peak["gflops"])
    return best


def with_numpy() -> dict[str, dict[str, Any]]:
    """The float32 peak through numpy's BLAS, whose threads the environment sets."""
    import numpy as np  # noqa: PLC0415 - it reads its thread count when it is imported

    def multiply(size: int) -> Callable[[], Any]:
        a = np.ones((size, size), np.float32)
        return lambda: a @ a

    return {"float32": {**matmul_peak(multiply, LARGEST), "by": f"numpy {np.__version__}"}}
