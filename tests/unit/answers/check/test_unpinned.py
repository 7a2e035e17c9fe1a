"""What the doctor says of folders that leave open what the next build takes."""

import pytest

from orchestrator.answers.check.unpinned import check_pins
from orchestrator.base.paths import ROOT

DIGEST = "sha256:" + "0123456789abcdef" * 4
YAML = """
name: alpha
title: Alpha
version: "1"
homepage: https://example.org
licence: MIT
capabilities: {{streams: true, logprobs: true, batch: true}}
devices:
  cpu: {{state: supported, base: "{base}"}}
  rocm: {{state: planned, base: some/image, note: later}}
variants:
  float32: {{precision: float32, devices: {{cpu: supported}}}}
"""


@pytest.fixture
def look(tmp_path):
    """check_pins of a checkout with one engine."""
    folder = tmp_path / "bench_alpha"
    (folder / "requirements").mkdir(parents=True)

    def check(lock="numpy==2.1.0\n", script="", base=f"debian@{DIGEST}"):
        (folder / "engine.yaml").write_text(YAML.format(base=base))
        (folder / "requirements" / "cpu.txt").write_text(lock)
        (folder / "build.sh").write_text(script)
        return check_pins(tmp_path)

    return check


def test_this_checkout_is_pinned():
    found = check_pins(ROOT)
    assert found.status == "ok" and "base images by digest" in found.what
    assert "not pinned (docs/trust/security.md)" in found.what


def test_what_is_pinned_in_every_way_it_is_written(look):
    lock = "# a comment\nnumpy==2.1.0 # why\ntorch==2.13.0+cpu\nx[extra] == 1 ; python_version > '3'\n--extra-index-url https://i\n"
    script = 'pip install --no-deps -r "$work/list.txt" a==1 "$package" ./here\npip download -d "$work" b==2\n'
    assert look(lock, script).status == "ok"


@pytest.mark.parametrize(("changes", "named"), [
    ({"base": "debian:bookworm-slim"}, "bench_alpha/engine.yaml: the cpu base image debian:bookworm-slim"),
    ({"base": "debian@sha256:12"}, "the cpu base image debian@sha256:12"),
    ({"lock": "numpy>=2\n"}, "requirements/cpu.txt: numpy>=2"),
    ({"lock": "numpy==2.*\n"}, "requirements/cpu.txt: numpy==2.*"),
    ({"lock": "git+https://example.org/x\n"}, "git+https://example.org/x"),
    ({"script": "set -e\npip install --no-deps thing other==1\n"}, "build.sh: thing"),
])  # fmt: skip
def test_what_is_not_pinned_is_named(look, changes, named):
    found = look(**changes)
    assert found.status == "warn" and named in found.what and found.remedy
    assert "some/image" not in found.what  # planned: nobody builds on it yet


def test_a_folder_that_cannot_be_read_fails(look, tmp_path):
    look()
    (tmp_path / "bench_alpha" / "engine.yaml").write_text("name: [")
    assert check_pins(tmp_path).status == "fail"
