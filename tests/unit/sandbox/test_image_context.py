"""Images are named by what went into them."""

import io
import os
import tarfile

import pytest

from orchestrator.machine.site import Site
from orchestrator.sandbox.image_context import content_hash, context_files, context_tar, site_files

ARGUMENTS = {"BASE_IMAGE": "b", "DEVICE": "cpu"}


def name(checkout, arguments=None, base="sha256:1"):
    return content_hash(context_files(checkout, checkout / "bench_alpha"), arguments or ARGUMENTS, base)


# -- the name ----------------------------------------------------------------------------------------------------------


def test_the_context_is_the_folder_common_and_the_install_script(checkout):
    assert sorted(context_files(checkout, checkout / "bench_alpha")) == [
        "bench_alpha/Dockerfile", "bench_alpha/bench.py", "bench_alpha/requirements/cpu.txt", "common/engine.py",
        "common/launch.py", "docker/install.sh",
    ]  # fmt: skip


@pytest.mark.parametrize("changed", [
    "bench_alpha/bench.py", "bench_alpha/Dockerfile", "bench_alpha/requirements/cpu.txt", "common/launch.py",
    "docker/install.sh",
])  # fmt: skip
def test_the_name_changes_with_a_byte_of_what_goes_in(checkout, changed):
    before = name(checkout)
    path = checkout / changed
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert name(checkout) != before


def test_the_name_changes_with_files_modes_arguments_and_base(checkout):
    names = [name(checkout), name(checkout, base="sha256:2"), name(checkout, {**ARGUMENTS, "DEVICE": "cuda"}),
             name(checkout, {**ARGUMENTS, "NATIVE_CPU": "x"})]  # fmt: skip
    (checkout / "docker" / "install.sh").chmod(0o755)
    names.append(name(checkout))
    (checkout / "bench_alpha" / "convert.py").touch()
    names.append(name(checkout))
    (checkout / "bench_alpha" / "convert.py").rename(checkout / "bench_alpha" / "other.py")
    names.append(name(checkout))
    assert len(set(names)) == len(names)
    assert all(len(each) == 12 for each in names)


def test_bytes_do_not_move_unnoticed_from_one_file_to_the_next():
    assert content_hash({"a": b"xy", "b": b""}, {}, None) != content_hash({"a": b"x", "b": b"y"}, {}, None)


@pytest.mark.parametrize("changed", [
    "bench_alpha/README.md", "bench_alpha/engine.yaml", "README.md", "orchestrator/cli.py", "docker/base.Dockerfile",
    "bench_alpha/__pycache__/bench.pyc",
])  # fmt: skip
def test_the_name_does_not_change_with_documentation(checkout, changed):
    before = name(checkout)
    (checkout / changed).write_text("something else\n")
    assert name(checkout) == before


def test_neither_time_nor_place_nor_owner_s_bits_are_in_the_name(checkout):
    before = name(checkout)
    path = checkout / "bench_alpha" / "bench.py"
    os.utime(path, (1, 1))
    path.chmod(0o600)
    moved = checkout.rename(checkout.with_name("elsewhere"))
    assert name(moved) == before


def test_the_context_is_the_same_bytes_twice(checkout):
    files = {**context_files(checkout, checkout / "bench_alpha"), "site/README": b"text"}
    one = context_tar(files).read()
    os.utime(checkout / "bench_alpha" / "bench.py", (1, 1))
    (checkout / "docker" / "install.sh").chmod(0o644)
    two = context_tar(dict(reversed(files.items()))).read()
    assert one == two
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        assert tar.getnames() == sorted(files)
        assert tar.extractfile("site/README").read() == b"text"
        assert tar.extractfile("bench_alpha/bench.py").read() == b"# bench_alpha/bench.py\n"
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


# -- the site layer ----------------------------------------------------------------------------------------------------


def test_a_site_without_settings_adds_nothing(checkout):
    assert sorted(site_files(Site(), checkout)) == ["base.Dockerfile", "site/README"]


def test_a_site_s_settings_become_files(checkout, tmp_path):
    (tmp_path / "w").mkdir()
    wheel = tmp_path / "w" / "x-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    bundle = tmp_path / "ca.pem"
    bundle.write_text("CA")
    made = site_files(Site(str(bundle), "http://index", None, str(tmp_path / "w"), "http://mirror/debian"), checkout)
    assert made["site/ca/site-ca.crt"] == bundle
    assert b"site-ca.crt" in made["site/apt.conf"]
    assert made["site/pip.conf"] == b"[global]\nindex-url = http://index\nfind-links = /opt/site/wheelhouse\n"
    assert made["site/apt-mirror"] == b"http://mirror/debian\n"
    assert made[f"site/wheelhouse/{wheel.name}"] == wheel
