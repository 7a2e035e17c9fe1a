"""What this device can do at most, measured in the same sandbox and with the same threads as the engines.

    python -m common.limits --job job.json --out DIRECTORY       writes DIRECTORY/limits.json

Bandwidth is taken three times; dense matrix products once per dtype by the library that this image has: PyTorch where
it is installed, else numpy's BLAS in float32.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import bandwidth
from common.results import write_json_atomically

REPEATS = 3
BANDWIDTH_S = 0.5
SMALLEST, LARGEST, LARGEST_GPU = 256, 2048, 8192

ENOUGH_S = 0.05  # one product long enough that starting it costs nothing
MATMUL_S = 0.5


def matmul_peak(multiply: Callable[[int], Callable[[], Any]], largest: int) -> dict[str, float]:
    """The best speed of square products in 10^9 operations/s (2 n^3 a product): {"gflops", "n"}.

    `multiply(n)` prepares and returns a function that multiplies once and waits for the result. The size grows until a
    product takes ENOUGH_S, so that a dtype without fast kernels does not take minutes.
    """
    best, size = {"gflops": 0.0, "n": 0}, SMALLEST
    while True:
        once = multiply(size)
        once()
        began, until = time.perf_counter(), time.perf_counter() + MATMUL_S
        while True:
            started = time.perf_counter()
            once()
            took = time.perf_counter() - started
            if 2 * size**3 / took / 1e9 > best["gflops"]:
                best = {"gflops": round(2 * size**3 / took / 1e9, 3), "n": size}
            if time.perf_counter() > until or (time.perf_counter() - began > 3 * ENOUGH_S and size < largest):
                break
        if size >= largest or took > ENOUGH_S:
            return best
        size *= 2


def with_torch(kind: str, threads: int) -> dict[str, dict[str, float]]:
    """Peaks by dtype through torch.mm, and torch._int_mm for int8. A dtype that the device lacks is left out.

    On a CPU float32 goes through oneDNN as well, and the faster one counts: on AMD's CPUs torch.mm calls a library that
    leaves AVX-512 alone, and engines with oneDNN reached 150 % of its "peak".
    """
    import torch  # noqa: PLC0415 - only an image that has it comes here

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    device = torch.device("cpu" if kind == "cpu" else "cuda")
    wait = torch.cuda.synchronize if kind != "cpu" else (lambda: None)

    def prepared(dtype: Any) -> Callable[[int], Callable[[], Any]]:
        product = torch._int_mm if dtype is torch.int8 else torch.mm

        def at(size: int) -> Callable[[], Any]:
            a, b = (torch.ones(size, size, device=device).to(dtype) for _ in range(2))

            def once() -> None:
                product(a, b)
                wait()

            return once

        return at

    def through_onednn(size: int) -> Callable[[], Any]:
        a, b = (torch.ones(size, size).to_mkldnn() for _ in range(2))
        return lambda: torch.nn.functional.linear(a, b)

    peaks = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.int8):
        name = str(dtype).removeprefix("torch.")
        try:
            peaks[name] = {
                **matmul_peak(prepared(dtype), LARGEST if kind == "cpu" else LARGEST_GPU),
                "by": f"torch {torch.__version__}",
            }
        except (RuntimeError, NotImplementedError) as error:
            print(f"no {name} products: {str(error).splitlines()[0]}")
    if kind == "cpu" and torch.backends.mkldnn.is_available():
        found = {**matmul_peak(through_onednn, LARGEST), "by": f"torch {torch.__version__}, oneDNN"}
        peaks["float32"] = max(peaks.get("float32", found), found, key=lambda peak: peak["gflops"])
    return peaks


def with_numpy() -> dict[str, dict[str, float]]:
    """The float32 peak through numpy's BLAS, whose threads the environment sets."""
    import numpy as np  # noqa: PLC0415

    def at(size: int) -> Callable[[], Any]:
        a = np.ones((size, size), np.float32)
        return lambda: a @ a

    return {"float32": {**matmul_peak(at, LARGEST), "by": f"numpy {np.__version__}"}}


def matmul(kind: str, threads: int) -> dict[str, dict[str, float]]:
    try:
        return with_torch(kind, threads)
    except ImportError:
        return with_numpy() if kind == "cpu" else {}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure this device's limits.")
    parser.add_argument("--job", type=Path, default=Path("/job/job.json"))
    parser.add_argument("--out", type=Path, default=Path("/out"))
    options = parser.parse_args()
    job = json.loads(options.job.read_text(encoding="utf-8"))
    kind, threads = job["device"]["kind"], job["threads"]
    probes = [bandwidth.probe(kind, threads, BANDWIDTH_S) for _ in range(REPEATS)]
    write_json_atomically(options.out / "limits.json", {"bandwidth": probes, "matmul": matmul(kind, threads)})


if __name__ == "__main__":
    main()
