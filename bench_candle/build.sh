#!/bin/sh
# Compile bench-candle (src/, with the crates that Cargo.lock pins) for this CPU and install it into $VIRTUAL_ENV/bin.
#
#   build.sh DEVICE       cpu | cuda | metal; called by docker/install.sh, which sets VIRTUAL_ENV and PATH
#
# CUDA_COMPUTE_CAP (80, 86, 89, 90, ...) is the GPU generation compiled for; default: this machine's, else 80.
# CARGO_TARGET_DIR keeps what was compiled.
set -eu
device=$1
: "${VIRTUAL_ENV:?build.sh installs into a virtual environment: run docker/install.sh bench_candle $device DIRECTORY}"

# Ubuntu's newer Rust versions are separate packages with separate program names.
for version in '' -1.91; do
    if command -v "cargo$version" >/dev/null && command -v "rustc$version" >/dev/null; then
        CARGO=cargo$version RUSTC=rustc$version
        break
    fi
done
[ -n "${RUSTC:-}" ] || {
    echo "build.sh: no Rust; 1.88 or later is needed. Debian 13: apt-get install -t trixie-backports cargo   Ubuntu 24.04: apt-get install cargo-1.91   others: https://rustup.rs" >&2
    exit 1
}
export RUSTC RUSTFLAGS="${RUSTFLAGS:-} -C target-cpu=native"

case $device in
    cpu) set -- ;;
    cuda)
        # Without a GPU candle-kernels needs its generation. Its static library (the quantised products) is machine code
        # for that one alone (cudaforge: -gencode=arch=compute_80,code=sm_80); the rest is PTX, for later ones as well.
        if ! command -v nvidia-smi >/dev/null; then export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}"; fi
        set -- --features cuda
        ;;
    metal) set -- --features metal ;;
    *) echo "build.sh: unknown device '$device'; known: cpu cuda metal" >&2; exit 1 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where the user has no cargo folder, as in an image, the crates' sources are not kept.
if [ ! -d "${CARGO_HOME:-${HOME:-}/.cargo}" ]; then export CARGO_HOME="$work/cargo"; fi
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$work} "$CARGO" install --locked --path . --root "$VIRTUAL_ENV" "$@"
