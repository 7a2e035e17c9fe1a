#!/bin/sh
# Compile ExLlamaV2's CUDA extension once and install it as the module that the package imports. Its wheel holds only the
# sources and compiles them at the first import, which would be in every launch: a launch's root is read-only.
#
#   build.sh DEVICE       only cuda; called by docker/install.sh, which sets VIRTUAL_ENV and PATH
#
# CUDA_ARCHITECTURES overrides the GPU generations that are compiled for, MAX_JOBS the number of parallel compilers.
set -eu
[ "$1" = cuda ] || { echo "build.sh: ExLlamaV2 has only CUDA kernels, and none for '$1'" >&2; exit 1; }
command -v nvcc >/dev/null || { echo "build.sh: nvcc of the CUDA toolkit 13.0 is missing from PATH" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The GPU is unknown when the image is built.
TORCH_CUDA_ARCH_LIST=${CUDA_ARCHITECTURES:-7.5;8.0;8.6;8.9;9.0;10.0;12.0+PTX}
TORCH_EXTENSIONS_DIR=$work
export TORCH_CUDA_ARCH_LIST TORCH_EXTENSIONS_DIR
python -c 'import exllamav2.ext'
cp "$work/exllamav2_ext/exllamav2_ext.so" "$(python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/"
