#!/bin/sh
# Install GPTQModel into $VIRTUAL_ENV, and compile its kernels there, which it would otherwise do in every launch.
#
#   build.sh DEVICE       cpu | cuda; called by docker/install.sh, which sets VIRTUAL_ENV and PATH
#
# TORCH_CUDA_ARCH_LIST overrides the GPU generations that are compiled for.
set -eu
device=$1
: "${VIRTUAL_ENV:?build.sh installs into a virtual environment: run docker/install.sh FOLDER $device DIRECTORY}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# --no-deps: it requires torch>=2.14.1 but runs with the suite's 2.13.0; the lock holds its other requirements.
# --no-build-isolation: its setup imports torch, and an isolated one would be the CUDA build.
echo 'gptqmodel==7.7.0 --hash=sha256:039874c39fb56ba75b750dd4870968e7fe83b6ca28890a53e94ad3c46be699d0' > "$work/gptqmodel.txt"
pip install --no-compile --progress-bar off --no-deps --no-build-isolation --no-binary gptqmodel --require-hashes -r "$work/gptqmodel.txt"
export GPTQMODEL_TORCH_EXTENSIONS_DIR="$VIRTUAL_ENV/share/gptqmodel" GPTQMODEL_CPU_WORKERS=2 HF_HUB_OFFLINE=1
kernels="pack_block_cpu"
if [ "$device" = cuda ]; then
    # The GPU is unknown when the image is built: compile for every generation since Ampere.
    export TORCH_CUDA_ARCH_LIST="${TORCH_CUDA_ARCH_LIST:-8.0;8.6;8.9;9.0;10.0;12.0}"
    kernels="$kernels marlin_bf16 exllamav2"
elif grep -q avx512_bf16 /proc/cpuinfo; then
    kernels="$kernels int4_qzero_group_scaled_cpu"  # without AVX512-BF16 GPTQModel takes ATen's int4 kernel
fi
# shellcheck disable=SC2086  # a list of words
python - $kernels <<'PYTHON'
import sys

from gptqmodel import extension
import torch

if "marlin_bf16" in sys.argv:
    torch.cuda.is_available = lambda: True  # without a GPU, as during a build, it would compile no CUDA kernel
for name in sys.argv[1:]:
    extension.load(name)
PYTHON
find "$GPTQMODEL_TORCH_EXTENSIONS_DIR" -name '*.o' -delete
