"""The build context of an image, and the content hash in its name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from orchestrator.machine.site import Site


def context_files(root: Path, *folders: Path) -> dict[str, Path | bytes]:
    """The sources of an engine's image: its folders, common/ and docker/install.sh, without documentation."""
    chosen = [root / "docker" / "install.sh"]
    for directory in (root / "common", *folders):
        chosen += [path for path in sorted(directory.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(root)): path for path in chosen if path.suffix != ".md" and path.name != "engine.yaml"}


def site_files(site: Site, root: Path) -> dict[str, Path | bytes]:
    """The context of docker/base.Dockerfile for this site."""
    files: dict[str, Path | bytes] = {
        "base.Dockerfile": root / "docker" / "base.Dockerfile",
        "site/README": b"this site's settings\n",
    }
    bundle = site.ca_file()
    if bundle is not None:
        files["site/ca/site-ca.crt"] = bundle
        files["site/apt.conf"] = b'Acquire::https::CAInfo "/opt/site/ca/site-ca.crt";\n'
    if site.pip_conf("/opt/site/wheelhouse"):
        files["site/pip.conf"] = site.pip_conf("/opt/site/wheelhouse").encode()
    if site.apt_mirror:
        files["site/apt-mirror"] = site.apt_mirror.encode() + b"\n"
    files.update({f"site/wheelhouse/{wheel.name}": wheel for wheel in site.wheels()})
    return files


def content_hash(files: dict[str, Path | bytes], arguments: dict[str, str], base_id: str | None) -> str:
    """12 hex digits over names, executable bits and bytes of `files`, the build arguments, and the base image."""
    digest = hashlib.sha256(json.dumps([arguments, base_id], sort_keys=True).encode())
    for name in sorted(files):
        content = files[name]
        digest.update(f"\0{name}\0{_mode(content):o}\0".encode())
        if isinstance(content, bytes):
            digest.update(content)
        else:
            with content.open("rb") as file:
                while chunk := file.read(1 << 22):
                    digest.update(chunk)
    return digest.hexdigest()[:12]


def _mode(content: Path | bytes) -> int:
    return 0o755 if isinstance(content, Path) and os.access(content, os.X_OK) else 0o644


def context_tar(files: dict[str, Path | bytes]) -> Any:
    """A reproducible tar file of the build context, spooled to disk if large."""
    spool = tempfile.SpooledTemporaryFile(max_size=64 << 20)  # noqa: SIM115 - the caller reads it
    with tarfile.open(fileobj=spool, mode="w") as tar:
        for name in sorted(files):
            content = files[name]
            info = tarfile.TarInfo(name)
            info.mode = _mode(content)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.size = content.stat().st_size
                with content.open("rb") as file:
                    tar.addfile(info, file)
    spool.seek(0)
    return spool
