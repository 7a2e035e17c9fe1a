"""Memory bandwidth of one device, measured by a process of its own.

    python -m common.limits.bandwidth --device cpu --threads 2       prints one JSON line

A decode step reads every weight once, so this bounds the speed of decoding. The probe must not run in the engine's
process: its buffer would count as the engine's memory, and a CUDA context would outlive it there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

TIMEOUT_S = 60
DRIVERS = {"cuda": ("libcuda.so.1", "cu"), "rocm": ("libamdhip64.so", "hip")}


def probe(device: str, threads: int, seconds: float) -> dict[str, Any] | None:
    """Measure `device` ("cpu", "cuda", "rocm") in a child process for about `seconds`.

    Returns {"best_gbs", "gbs" (one value per pass), "method", "buffer_bytes", "threads", "last_level_cache" (bytes)},
    with 1 GB = 10^9 bytes; None where the device cannot be probed (the reason goes to stderr).
    """
    command = [sys.executable, "-m", "common.limits.bandwidth", "--device", device]
    command += ["--threads", str(threads), "--seconds", str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        return json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"no bandwidth: {error} {getattr(error, 'stderr', None) or ''}", file=sys.stderr)
        return None


def main() -> None:
    """Print one reading as JSON. Raises OSError where the device cannot be probed."""
    parser = argparse.ArgumentParser(description="Measure the memory bandwidth of one device.")
    parser.add_argument("--device", default="cpu", choices=["cpu", *DRIVERS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.25)
    options = parser.parse_args()
    # Imported here: a launch imports this module for `probe` alone.
    if options.device == "cpu":
        from common.limits.host_memory import host_bandwidth  # noqa: PLC0415

        reading = host_bandwidth(options.threads, options.seconds)
    else:
        from common.limits.device_memory import device_bandwidth  # noqa: PLC0415

        reading = device_bandwidth(*DRIVERS[options.device], options.seconds)
    print(json.dumps(reading))


if __name__ == "__main__":
    main()
