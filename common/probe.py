"""One bandwidth probe: prints one JSON line.

python -m common.probe --device cpu --threads 2
"""

from __future__ import annotations

import argparse
import json

from common import bandwidth


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory bandwidth of one device.")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "rocm"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.25)
    options = parser.parse_args()
    if options.device == "cpu":
        found = bandwidth.host_bandwidth(options.threads, options.seconds)
    else:
        library, prefix = {"cuda": ("libcuda.so.1", "cu"), "rocm": ("libamdhip64.so", "hip")}[options.device]
        found = bandwidth.device_bandwidth(library, prefix, options.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
