"""Are the suite's limits those of independent programs? Alternates our probes with a C kernel and with numpy's BLAS.

    .venv/bin/python -m tests.performance.limits_by_hand [--threads N] [--rounds 5]

Bandwidth: a STREAM-like C sum over as many bytes as the probe reads, in huge pages, compiled with `cc -O3 -march=native
-fopenmp`, best of 20 passes, against common/limits/host_memory.py. Matrix products: numpy's float32 product, best of
ten, against common/limits/matmul.py's method at the same size. Target: within 10 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
KERNEL = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
int main(int argc, char **argv) {
    size_t bytes = strtoull(argv[argc - 1], 0, 10), n = bytes / sizeof(double);
    double *a = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), best = 0;
    madvise(a, bytes, MADV_HUGEPAGE);
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) a[i] = 1;
    volatile double sink = 0;
    for (int pass = 0; pass < 20; pass++) {
        double started = now(), sum = 0;
        #pragma omp parallel for schedule(static) reduction(+ : sum)
        for (size_t i = 0; i < n; i++) sum += a[i];
        double speed = bytes / (now() - started) / 1e9;
        sink += sum;
        if (speed > best) best = speed;
    }
    printf("%.3f\n", best);
    return 0;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    threads = {"OMP_NUM_THREADS": str(options.threads), "OPENBLAS_NUM_THREADS": str(options.threads)}
    os.environ.update(threads)
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "sum.c", Path(folder) / "sum"
        source.write_text(KERNEL)
        flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-D_GNU_SOURCE"]
        subprocess.run(["cc", *flags, source, "-o", program], check=True)
        ratios: dict[str, list[float]] = {"bandwidth": [], "float32 products": []}
        for _ in range(options.rounds):
            mine, size = ours(options.threads)
            theirs = float(subprocess.run([program, str(size)], capture_output=True, text=True, check=True).stdout)
            ratios["bandwidth"].append(mine / theirs)
            print(f"bandwidth: C kernel {theirs:.1f} GB/s, ours / theirs {ratios['bandwidth'][-1]:.3f}")
            mine, size = products()
            plain = by_hand(size)
            ratios["float32 products"].append(mine / plain)
            print(f"float32 products: by hand {plain:.0f} GFLOP/s at n = {size}, ours / by hand {mine / plain:.3f}")
    for name, values in ratios.items():
        print(f"{name}: median {median(values):.3f} [{min(values):.3f}, {max(values):.3f}] over {len(values)} rounds")


def ours(threads: int) -> tuple[float, int]:
    """The suite's own figure: GB/s, and the bytes that were read."""
    command = [sys.executable, "-m", "common.limits.bandwidth", "--threads", str(threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return told["best_gbs"], told["buffer_bytes"]


def products() -> tuple[float, int]:
    """The suite's own figure: GFLOP/s and the size it was reached at."""
    from common.limits import matmul  # noqa: PLC0415 - numpy reads its thread count when it is imported

    found = matmul.with_numpy()["float32"]
    return found["gflops"], found["n"]


def by_hand(size: int) -> float:
    import numpy as np  # noqa: PLC0415

    a = np.random.default_rng(0).random((size, size), dtype=np.float32)
    b, taken = a.T.copy(), []
    for _ in range(10):
        started = time.perf_counter()
        np.dot(a, b)
        taken.append(time.perf_counter() - started)
    return 2 * size**3 / min(taken) / 1e9


if __name__ == "__main__":
    main()
