"""What is installed where an engine runs: its Python packages, and the distribution's where dpkg or rpm knows them."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from common.tools.result_files import write_json_atomically

QUERIES = {
    "deb": ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\t${Package}\t${Version}\n"],
    "rpm": ["rpm", "--query", "--all", "--queryformat", "ii \t%{NAME}\t%{VERSION}-%{RELEASE}\n"],
}


def python_packages() -> list[dict[str, str]]:
    """[{"name", "version"}], sorted; each name once."""
    versions = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    return [{"name": name, "version": versions[name]} for name in sorted(filter(None, versions), key=str.lower)]


def system_packages() -> dict[str, list[dict[str, str]]]:
    """{"deb" or "rpm": [{"name", "version"}]}; empty where there is neither."""
    for kind, command in QUERIES.items():
        try:
            output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        lines = [line.split("\t") for line in output.splitlines() if line.startswith("ii")]
        return {kind: [{"name": name, "version": version} for _, name, version in lines]}
    return {}


def main() -> None:
    """Write OUT/packages.json; `--job` is accepted as every task has one."""
    parser = argparse.ArgumentParser(description="List what is installed here.")
    parser.add_argument("--job", type=Path)
    parser.add_argument("--out", type=Path, default=Path("/out"))
    options = parser.parse_args()
    release = platform.freedesktop_os_release() if sys.platform == "linux" else {}
    installed = {
        "python": platform.python_version(),
        "distribution": release.get("PRETTY_NAME", platform.platform()),
        "pypi": python_packages(),
        **system_packages(),
    }
    write_json_atomically(options.out / "packages.json", installed)


if __name__ == "__main__":
    main()
