#!/bin/sh
# Install one engine: its lock file, then its build script. The Dockerfiles and `--isolation venv` both call this, so that
# both run the same software.
#
#   docker/install.sh FOLDER DEVICE VENV      e.g. docker/install.sh bench_llamacpp cpu /opt/venv
#
# build.sh, where the folder has one, is called in the folder with DEVICE as its argument, with VENV's programs first in
# PATH and VIRTUAL_ENV set; it installs into VIRTUAL_ENV. PYTHON names the interpreter, if not python3.
set -eu
folder=$1
device=$2
venv=$3

python=${PYTHON:-python3}
"$python" -c 'import ensurepip' 2>/dev/null || {
    echo "install.sh: this Python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2
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
# A package may carry files of a newer Python, which do not compile and are never imported.
for tree in "$venv/lib" "$venv/share"; do
    if [ -d "$tree" ]; then python -m compileall -q -j 0 "$tree" >/dev/null || true; fi
done
