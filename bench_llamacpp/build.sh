#!/bin/sh
# Compile llama.cpp once and install it into $VIRTUAL_ENV: lib/llama.cpp/libllama.so; bin/llama-bench and llama-quantize,
# linked against that library; the Python bindings, which use it too and are not compiled again; and the converter, in
# share/llama.cpp.
#
#   build.sh DEVICE       cpu | cuda | rocm | metal; called by docker/install.sh, which sets VIRTUAL_ENV and PATH
#
# CUDA_ARCHITECTURES and HIP_ARCHITECTURES override the GPU generations that are compiled for.
set -eu
device=$1
: "${VIRTUAL_ENV:?build.sh installs into a virtual environment: run docker/install.sh bench_llamacpp $device DIRECTORY}"

command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || {
    echo "build.sh: no C++ compiler. Debian, Ubuntu: apt-get install g++   Fedora: dnf install gcc-c++   macOS: xcode-select --install" >&2
    exit 1
}
case $device in
    cpu) set -- -DGGML_METAL=OFF ;;
    # The GPU is unknown when the image is built. Machine code for every generation since Ampere, because PTX would be
    # compiled again in every launch; PTX for Turing.
    # The driver's libcuda.so.1 comes with the device, so the programs are linked without it.
    cuda)
        set -- -DGGML_CUDA=ON -DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined \
            "-DCMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES:-75-virtual;80-real;86-real;89-real;90-real;100-real;120a-real}"
        ;;
    rocm)
        HIPCXX=$(hipconfig -l)/clang
        HIP_PATH=$(hipconfig -R)
        export HIPCXX HIP_PATH
        set -- -DGGML_HIP=ON "-DGPU_TARGETS=${HIP_ARCHITECTURES:-gfx90a;gfx942;gfx1100;gfx1101;gfx1200;gfx1201}"
        ;;
    metal) set -- -DGGML_METAL=ON -DGGML_METAL_EMBED_LIBRARY=ON ;;
    *) echo "build.sh: unknown device '$device'; known: cpu cuda rocm metal" >&2; exit 1 ;;
esac
origin='$ORIGIN'
[ "$(uname)" = Darwin ] && origin='@loader_path'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The source package holds llama.cpp's whole tree at the commit that these bindings were made for.
echo 'llama-cpp-python==0.3.36 --hash=sha256:832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e' > "$work/source.txt"
pip download --progress-bar off --no-deps --no-build-isolation --no-binary llama-cpp-python --require-hashes -r "$work/source.txt" -d "$work"
tar -xzf "$work/llama_cpp_python-0.3.36.tar.gz" -C "$work"
package=$work/llama_cpp_python-0.3.36
source=$package/vendor/llama.cpp
commit=$(cut -c1-9 "$package/.git/modules/vendor/llama.cpp/HEAD")

# On CPUs with AMX, tiles are configured from a structure. GCC 12 declares that its _tile_loadconfig reads only the first
# eight bytes, so it drops the other stores, the next tile instruction is illegal, and q8_0, q4_0 and q4_k_m die with SIGILL
# (https://github.com/ggml-org/llama.cpp/pull/26954, open). The empty asm statement reads all of it.
python - "$source/ggml/src/ggml-cpu/amx/mmq.cpp" <<'PYTHON'
import pathlib
import sys

path = pathlib.Path(sys.argv[1])
text, load = path.read_text(), "    _tile_loadconfig(&tc);\n"
if text.count(load) != 1:
    sys.exit(f"build.sh: {path.name} has changed: check whether its _tile_loadconfig still needs the line added here")
path.write_text(text.replace(load, '    asm volatile("" : : "r"(&tc) : "memory");\n' + load))
PYTHON

# Argument parsing and chat templates affect no measurement, so they are compiled with -O1 to save build time. ggml and
# libllama keep the release build's flags.
cat > "$work/lightly.cmake" <<'CMAKE'
function(compile_lightly)
  target_compile_options(llama-common PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
endfunction()
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL compile_lightly)
CMAKE

# GIT_EXE=OFF: otherwise ggml reports the commit of whatever repository surrounds it.
cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON "$@" \
    "-DCMAKE_PROJECT_TOP_LEVEL_INCLUDES=$work/lightly.cmake" \
    -DLLAMA_BUILD_COMMIT="$commit" -DGIT_EXE=OFF \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DCMAKE_INSTALL_RPATH=$origin;$origin/../lib/llama.cpp" \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
programs="llama-bench llama-quantize"
# shellcheck disable=SC2086  # a list of words
ninja -C "$work/build" llama $programs

mkdir -p "$VIRTUAL_ENV/lib/llama.cpp" "$VIRTUAL_ENV/share/llama.cpp"
if [ "$(uname)" = Linux ]; then find "$work/build/bin" -type f -exec strip --strip-unneeded {} +; fi
for program in $programs; do cp "$work/build/bin/$program" "$VIRTUAL_ENV/bin/"; done
find "$work/build/bin" \( -name 'lib*.so*' -o -name 'lib*.dylib' \) -exec cp -RP {} "$VIRTUAL_ENV/lib/llama.cpp/" \;
cp -R "$source/convert_hf_to_gguf.py" "$source/conversion" "$source/gguf-py" "$VIRTUAL_ENV/share/llama.cpp/"

CMAKE_ARGS=-DLLAMA_BUILD=OFF pip install --no-compile --no-deps --no-build-isolation "$package"
# The bindings look for the library beside themselves.
ln -sfn "$VIRTUAL_ENV/lib/llama.cpp" "$(python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/llama_cpp/lib"
