# Sourced by benchmark.sh and test.sh with `here` set to the checkout: makes $here/.venv, or brings it up to date with
# pyproject.toml. It says what it does, since the first use takes a while. `extra` names a further list of packages there.

stamp=$(cksum < "$here/pyproject.toml")
install_list() {  # pip reads the packages from pyproject.toml alone; nothing of the suite itself is installed
    "$here/.venv/bin/python" - "$here/pyproject.toml" "$1" > "$here/.venv/$1.txt" <<'PYTHON'
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()  # tomllib is not in Python 3.10
block = re.search(rf"^{sys.argv[2]} = \[(.*?)\]$", text, re.DOTALL | re.MULTILINE).group(1)
print("\n".join(re.findall(r'"([^"]+)"', block)))
PYTHON
    "$here/.venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/.venv/$1.txt" || {
        echo "error: pip could not install the suite's requirements (see above)" >&2
        return 1
    }
    echo "$stamp" > "$here/.venv/$1.stamp"
}
if [ ! -x "$here/.venv/bin/python" ] || [ "$(cat "$here/.venv/dependencies.stamp" 2>/dev/null)" != "$stamp" ]; then
    python=
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "error: Python 3.10 or newer is needed; on Debian and Ubuntu: sudo apt-get install python3 python3-venv" >&2
        exit 2
    fi
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "installing python3-venv" >&2
            { apt-get install -y -q python3-venv || { apt-get update -q && apt-get install -y -q python3-venv; }; } >/dev/null 2>&1 || true
        fi
        if ! "$python" -c 'import ensurepip' 2>/dev/null; then
            echo "error: this Python cannot make virtual environments; run: sudo apt-get install python3-venv" >&2
            exit 2
        fi
    fi
    echo "making the suite's own virtual environment in $here/.venv (first use)" >&2
    rm -rf "$here/.venv"
    "$python" -m venv "$here/.venv"
    install_list dependencies || { rm -rf "$here/.venv"; exit 2; }
fi
if [ -n "${extra:-}" ] && [ "$(cat "$here/.venv/$extra.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "installing what the tests need" >&2
    install_list "$extra" || exit 2
fi
