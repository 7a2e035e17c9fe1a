#!/bin/sh
# This launch again, without the orchestrator. Run it in the root of the checkout.
set -e
test -x /suite/.cache/venvs/echo-cpu-a7d3feeb208b/bin/python || sh docker/install.sh bench_echo cpu /suite/.cache/venvs/echo-cpu-a7d3feeb208b
mkdir -p reproduced
env HF_HUB_OFFLINE=1 MKL_NUM_THREADS=2 OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 PYTHONPATH=/suite RAYON_NUM_THREADS=2 TOKENIZERS_PARALLELISM=false /suite/.cache/venvs/echo-cpu-a7d3feeb208b/bin/python -m bench_echo.bench --job results/golden/launches/echo-float32-b2-p16-n12-1-5e26fdde/job.json --out reproduced
