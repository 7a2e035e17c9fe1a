#!/bin/sh
# The image for ROCm, Ubuntu 22.04, has vLLM in a Python that is not the distribution's.
set -eu
if [ "$1" = rocm ]; then ln -sf "$(command -v python3.12)" /usr/local/bin/python3; fi
