"""What is particular to a site: extra CA bundle, pip indexes, wheelhouse, apt mirror.

Read from `site.yaml` in the checkout (not under version control); an environment variable BENCH_<KEY> overrides it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from orchestrator.base.errors import UserError
from orchestrator.base.paths import ROOT
from orchestrator.base.reading import YamlFile

HOST_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that reach the builds."""

    # PEM file added to the images' trust store (default: the host's own; "none" adds nothing)
    ca_bundle: str | None = None
    pip_index_url: str | None = None  # replaces pip's default index
    pip_extra_index_url: str | None = None  # further index
    wheelhouse: str | None = None  # directory of wheels, put once into the base image; pip looks there too
    apt_mirror: str | None = None  # replaces the Debian mirror

    @classmethod
    def read(cls, path: Path = ROOT / "site.yaml", environment: dict[str, str] | None = None) -> Site:
        """Raises UserError for an unknown key, or a missing file or directory."""
        environment = dict(os.environ) if environment is None else environment
        site = cls()
        if path.is_file():
            source = YamlFile(path)
            site = cls() if source.content is None else source.convert(cls)
        given = {name: environment.get(f"BENCH_{name.upper()}") for name in cls.__struct_fields__}
        site = msgspec.structs.replace(site, **{name: value for name, value in given.items() if value})
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
