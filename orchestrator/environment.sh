# Sourced by benchmark.sh and test.sh with `here` set to the checkout: installs the suite from there into $here/.venv, on
# first use and whenever pyproject.toml has changed. It says what it does, since that takes a while.
# `extra` names one of the package's extras, for example test.

extra=${extra:-}
stamp=$(cksum < "$here/pyproject.toml")
is_installed() { # of the suite or of an extra
    [ -x "$here/.venv/bin/python" ] && [ "$(cat "$here/.venv/$1.stamp" 2>/dev/null)" = "$stamp" ]
}
fail() {
    echo "error: $1" >&2
    exit 2
}
find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}
make_venv() {
    python=$(find_python)
    [ -n "$python" ] ||
        fail "Python 3.10 or newer is needed; on Debian and Ubuntu: sudo apt-get install python3 python3-venv"
    if ! "$python" -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing python3-venv" >&2
        { apt-get install -y -q python3-venv || { apt-get update -q && apt-get install -y -q python3-venv; }; } \
            >/dev/null 2>&1 || true
    fi
    "$python" -c 'import ensurepip' 2>/dev/null ||
        fail "this Python cannot make virtual environments; run: sudo apt-get install python3-venv"
    echo "making the suite's own virtual environment in $here/.venv (first use)" >&2
    rm -rf "$here/.venv"
    "$python" -m venv "$here/.venv" || fail "no virtual environment could be made in $here/.venv (see above)"
}
install_suite() { # with an extra, or without
    (cd "$here" && .venv/bin/pip install --quiet --disable-pip-version-check -e ".${1:+[$1]}") || {
        is_installed suite || rm -rf "$here/.venv"
        fail "pip could not install the suite and what it needs (see above); it needs a package index, or a mirror of one"
    }
    for name in suite $1; do echo "$stamp" > "$here/.venv/$name.stamp"; done
}

if ! is_installed suite || { [ -n "$extra" ] && ! is_installed "$extra"; }; then
    [ -w "$here" ] || fail "$here cannot be written to, and the suite keeps its environment there; use a copy of your own"
    is_installed suite || make_venv
    [ -z "$extra" ] || echo "installing what the extra '$extra' needs" >&2
    install_suite "$extra"
fi
