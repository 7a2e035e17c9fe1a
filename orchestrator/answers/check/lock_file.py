"""Does a lock resolve, for a device that does not run here? Uses metadata only: nothing is built or installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.utils import canonicalize_name
from uv import find_uv_bin

from orchestrator.answers.check.finding import Finding
from orchestrator.answers.check.pinned import python_of
from orchestrator.plan.engine import Engine

PLATFORMS = {"metal": "aarch64-apple-darwin"}
LINUX = "x86_64-manylinux_2_39"  # Ubuntu 24.04
SETTINGS = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_FIND_LINKS": "UV_FIND_LINKS"}
MACOS = "14.0"  # the oldest that torch has wheels for
WHEELLESS = re.compile(r"Because (\S+?)==\S+ has no usable wheels")
ABSENT = re.compile(r"there is no version of (\S+?)==")
UNREACHABLE = ("not found in the package registry", "was not found in", "Failed to fetch", "no usable wheels")


def check_lock(engine: Engine, kind: str, environment: dict[str, str] | None = None) -> Finding:
    """One finding: the pins agree with each other, and none is missing. `environment` holds pip's settings.

    Packages that have only a source distribution, or are only on the device's `extra_index_url`, are left out and
    named. Where an index cannot be read, `passed` is None.
    """
    check = f"{kind}: the lock resolves"
    python = python_of(engine.software, kind)
    if python is None:
        return Finding(check, None, f"not checked: requirements/{kind}.txt names no Python at its top")
    text = (engine.software / "requirements" / f"{kind}.txt").read_text(encoding="utf-8")
    # torch 2.9.1+cu130 is on an index of its own; it needs what 2.9.1 needs, except for the CUDA libraries.
    lines = re.sub(r"(?m)^([^#\n]*==[^+\s]+)\+\S+", r"\1", text).splitlines()
    pinned, unseen, other = _names(lines), [], engine.devices[kind].extra_index_url
    if not pinned:
        return Finding(check, None, "not checked: it pins nothing, so the base image must hold everything")
    settings = {SETTINGS[key]: value for key, value in (environment or {}).items() if key in SETTINGS}
    while True:
        resolved, message = _resolve(lines, python, kind, settings)
        left_out = WHEELLESS.search(message) or (other and ABSENT.search(message))
        if resolved is not None or not left_out:
            break
        unseen.append(left_out.group(1))
        remaining = [line for line in lines if not _names([line]) & {canonicalize_name(unseen[-1])}]
        if remaining == lines:  # not a pin itself, but a dependency of one
            break
        lines = remaining
    if resolved is None:
        return Finding(check, None if any(word in message for word in UNREACHABLE) else False, message[:400])
    missing = sorted(_names(resolved) - pinned)
    detail = f"{len(pinned)} packages agree" + (
        f"; without a wheel on the default index, so not seen: {', '.join(unseen)}" if unseen else ""
    )
    if missing and not other:
        return Finding(check, False, f"it lacks {', '.join(missing)}")
    # The build on the other index, such as torch's for CPUs, may need less than the one resolved here.
    return Finding(check, True, detail + (f"; those of {other} not seen" if missing else ""))


def _resolve(lines: list[str], python: str, kind: str, settings: dict[str, str]) -> tuple[list[str] | None, str]:
    """(the lines of the whole resolution, uv's messages); the first is None where there is no resolution."""
    with tempfile.TemporaryDirectory() as folder:
        lock, resolved = Path(folder, "lock.txt"), Path(folder, "resolved.txt")
        lock.write_text("\n".join(lines), encoding="utf-8")
        command = [
            find_uv_bin(), "pip", "compile", "--quiet", "--no-config", "--no-build", "--no-header", "--no-annotate",
            "--python", sys.executable, "--python-version", python, "--python-platform", PLATFORMS.get(kind, LINUX),
            "--output-file", str(resolved), str(lock),
        ]  # fmt: skip
        environment = {**os.environ, "UV_SYSTEM_CERTS": "1", "MACOSX_DEPLOYMENT_TARGET": MACOS, **settings}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        message = " ".join(done.stderr.split()).removeprefix(
            "error: No solution found when resolving dependencies cause: "
        )
        return (None, message) if done.returncode else (resolved.read_text(encoding="utf-8").splitlines(), message)


def _names(lines: list[str]) -> set[str]:
    return {canonicalize_name(name.group()) for line in lines if (name := re.match(r"[A-Za-z][\w.-]*", line))}
