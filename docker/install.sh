#!/bin/sh
# Install one engine: its lock file, then its build script. The Dockerfiles and `--isolation venv` both call this, so that
# both run the same software.
#
#   docker/install.sh FOLDER DEVICE VENV             e.g. docker/install.sh bench_llamacpp cpu /opt/venv
#   docker/install.sh --system FOLDER DEVICE VENV    as root in an image: first FOLDER/packages.apt, and FOLDER/system.sh
#   docker/install.sh --smoke FOLDER                 in an image: byte-compile the suite's own code, import bench.py once
#
# packages.apt: one line of Debian's (and Ubuntu's) packages. system.sh, optional: runs before they are installed, with DEVICE
# as its argument. build.sh, optional: runs in the folder with DEVICE as its argument, VENV's programs first in PATH and
# VIRTUAL_ENV set, and installs into VIRTUAL_ENV. PYTHON names the interpreter, if not python3.
set -eu

if [ "$1" = --smoke ]; then
    python -m compileall -q common bench_*
    # libcuda.so.1 belongs to the driver and is absent during a build: the toolkit's stub is enough to prove the import.
    stub=/usr/local/cuda/lib64/stubs/libcuda.so
    if [ -e "$stub" ]; then
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        ln -s "$stub" "$work/libcuda.so.1"
        python -m "$2.bench" --smoke 2>"$work/log" || LD_LIBRARY_PATH=$work python -m "$2.bench" --smoke || {
            cat "$work/log" >&2
            exit 1
        }
    else
        python -m "$2.bench" --smoke
    fi
    exit
fi

if [ "$1" = --system ]; then
    shift
    if [ -f "$1/system.sh" ]; then sh "$1/system.sh" "$2"; fi
    missing=
    for package in $(cat "$1/packages.apt"); do
        [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] \
            || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        apt-get update -q
        # shellcheck disable=SC2086  # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
        rm -rf /var/lib/apt/lists/*
    fi
fi

folder=$1
device=$2
venv=$3
python=${PYTHON:-python3}
"$python" -c 'import ensurepip' 2>/dev/null || {
    echo "install.sh: this Python cannot create virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
}
"$python" -m venv "$venv"
PATH="$venv/bin:$PATH"
VIRTUAL_ENV=$venv
export PATH VIRTUAL_ENV
pip install --no-compile --progress-bar off -r "$folder/requirements/$device.txt"
if [ -f "$folder/build.sh" ]; then
    (cd "$folder" && sh ./build.sh "$device")
fi
# Byte-compiled once: the root is read-only at run time, and compiling 2500 modules anew made every launch 4 times slower.
# A package may contain files for a newer Python, which do not compile and are never imported.
for tree in "$venv/lib" "$venv/share"; do
    if [ -d "$tree" ]; then python -m compileall -q -j 0 "$tree" >/dev/null || true; fi
done
