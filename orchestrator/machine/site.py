"""What is particular to a site: extra CA bundle, pip indexes, wheelhouse, apt mirror.

Read from `site.yaml` in the checkout (not under version control); an environment variable BENCH_<KEY> overrides it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from orchestrator.base import reading
from orchestrator.base.errors import UserError, unknown
from orchestrator.base.paths import ROOT

HOST_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True)
class Site:
    """Settings that reach the builds.

    ca_bundle:            PEM file added to the images' trust store (default: the host's own; "none" adds nothing)
    pip_index_url:        replaces pip's default index
    pip_extra_index_url:  further index
    wheelhouse:           directory of wheels, copied into the base image and searched by pip
    apt_mirror:           replaces the Debian mirror
    """

    ca_bundle: str | None = None
    pip_index_url: str | None = None
    pip_extra_index_url: str | None = None
    wheelhouse: str | None = None
    apt_mirror: str | None = None

    @classmethod
    def read(cls, path: Path = ROOT / "site.yaml", environment: dict[str, str] | None = None) -> Site:
        """Raises UserError for an unknown key, or a missing file or directory."""
        environment = dict(os.environ) if environment is None else environment
        names = [field.name for field in fields(cls)]
        values = {}
        if path.is_file():
            content = reading.load(path) or {}
            if not isinstance(content, dict):
                raise UserError(f"{path}: expected `key: value` lines with the keys {', '.join(names)}")
            values = content
            for key in values:
                if key not in names:
                    raise unknown(f"key in {path}", str(key), names)
                if not isinstance(values[key], str | None):
                    raise UserError(f"{path}: {key}: expected text, not {values[key]!r}")
        for name in names:
            if environment.get(f"BENCH_{name.upper()}"):
                values[name] = environment[f"BENCH_{name.upper()}"]
        site = cls(**values)
        site._check()
        return site

    def _check(self) -> None:
        if self.ca_bundle and self.ca_bundle != "none" and not Path(self.ca_bundle).is_file():
            raise UserError(
                f"ca_bundle: no such file: {self.ca_bundle} (set BENCH_CA_BUNDLE, or `none` to add nothing)"
            )
        if self.wheelhouse and not Path(self.wheelhouse).is_dir():
            raise UserError(f"wheelhouse: no such directory: {self.wheelhouse} (set BENCH_WHEELHOUSE)")

    def ca_file(self) -> Path | None:
        """The PEM file to add to the trust store; None if there is none."""
        if self.ca_bundle == "none":
            return None
        candidates = [self.ca_bundle] if self.ca_bundle else HOST_CA_BUNDLES
        return next((Path(name) for name in candidates if Path(name).is_file()), None)

    def wheels(self) -> list[Path]:
        """The wheelhouse's wheels, sorted by name."""
        return sorted(Path(self.wheelhouse).glob("*.whl")) if self.wheelhouse else []

    def pip_environment(self) -> dict[str, str]:
        """pip's settings for an install outside a container."""
        pairs = {
            "PIP_INDEX_URL": self.pip_index_url,
            "PIP_EXTRA_INDEX_URL": self.pip_extra_index_url,
            "PIP_FIND_LINKS": str(Path(self.wheelhouse).resolve()) if self.wheelhouse else None,
        }
        return {key: value for key, value in pairs.items() if value}

    def pip_conf(self, wheelhouse: str) -> str:
        """The images' pip.conf; `wheelhouse` is the wheelhouse's path in the image."""
        pairs = {
            "index-url": self.pip_index_url,
            "extra-index-url": self.pip_extra_index_url,
            "find-links": wheelhouse if self.wheelhouse else None,
        }
        lines = [f"{key} = {value}" for key, value in pairs.items() if value]
        return "\n".join(["[global]", *lines, ""]) if lines else ""
