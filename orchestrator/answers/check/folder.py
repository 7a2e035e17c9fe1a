"""Checks of an engine's folder that run nothing."""

from __future__ import annotations

import re

from orchestrator.answers.check.finding import Finding
from orchestrator.plan.engine import Engine


def check_folder(engine: Engine, kind: str) -> list[Finding]:
    """Files, Dockerfile and lock of one engine for one kind of device."""
    folder = engine.folder
    needed = [folder / name for name in ("Dockerfile", "bench.py", "README.md")]
    if any(variant.artefact for variant in engine.variants.values()):
        needed.append(folder / "convert.py")
    if kind in engine.devices and engine.devices[kind].support.runs:
        needed.append(engine.software / "requirements" / f"{kind}.txt")
    missing = [str(path.relative_to(folder.parent)) for path in needed if not path.is_file()]
    dockerfile = (folder / "Dockerfile").read_text(encoding="utf-8") if (folder / "Dockerfile").is_file() else ""
    buildkit = re.findall(r"^#\s*syntax=.*|--mount=\S+|<<-?\s*['\"]?[A-Z]+", dockerfile, re.MULTILINE)
    users = re.findall(r"^USER\s+(\S+)", dockerfile, re.MULTILINE)
    unprivileged = bool(users) and users[-1].split(":")[0] not in ("0", "root")
    unpinned = [
        f"{path.name}: {line}"
        for path in sorted((engine.software / "requirements").glob("*.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith(("#", "-")) and "==" not in line and " @ " not in line
    ]
    return [
        Finding("files", not missing, f"missing: {', '.join(missing)}" if missing else ""),
        Finding("Dockerfile needs no BuildKit", not buildkit, ", ".join(buildkit)),
        Finding("Dockerfile ends as a user that is not root", unprivileged),
        Finding("Dockerfile ends in a smoke import", "--smoke" in dockerfile),
        Finding("every requirement is pinned", not unpinned, "; ".join(unpinned)),
    ]
