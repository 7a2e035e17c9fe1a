"""A site's settings: where they come from, what is refused, and what pip is told."""

import pytest

from orchestrator.base.errors import UserError
from orchestrator.machine import site
from orchestrator.machine.site import Site


@pytest.fixture
def ca(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    return path


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("b-1-py3-none-any.whl", "a-1-py3-none-any.whl", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    return folder


def read(tmp_path, text=None, **environment):
    path = tmp_path / "site.yaml"
    if text is not None:
        path.write_text(text)
    return Site.read(path, environment)


def test_nothing_is_set_by_itself(tmp_path):
    found = read(tmp_path)
    assert found == Site()
    assert found.pip_environment() == {}
    assert found.pip_conf("/w") == ""
    assert found.wheels() == []


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_an_empty_file_is_no_error(tmp_path, text):
    assert read(tmp_path, text) == Site()


def test_the_environment_comes_before_the_file(tmp_path):
    found = read(
        tmp_path, "apt_mirror: http://a\npip_index_url: http://b\n", BENCH_APT_MIRROR="http://c", BENCH_OTHER="x"
    )
    assert (found.apt_mirror, found.pip_index_url) == ("http://c", "http://b")
    assert read(tmp_path, BENCH_APT_MIRROR="").apt_mirror == "http://a"


@pytest.mark.parametrize(("text", "message"), [
    ("pip_index: http://a\n", "site.yaml:1: pip_index: expected one of .* did you mean 'pip_index_url'\\?"),
    ("- a\n", "site.yaml:1: expected a mapping of keys to values: ca_bundle, "),
    ("a: [\n", "site.yaml:2: not valid YAML"),
    ("wheelhouse: 5\n", 'site.yaml:1: wheelhouse: expected text .write it in quotes: "5"'),
    ("ca_bundle: /no/such.pem\n", "ca_bundle: no such file: /no/such.pem .set BENCH_CA_BUNDLE, or `none`"),
    ("wheelhouse: /no/such\n", "wheelhouse: no such directory: /no/such .set BENCH_WHEELHOUSE"),
])  # fmt: skip
def test_a_mistake_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_a_wheelhouse_must_be_a_directory(tmp_path, ca):
    with pytest.raises(UserError, match="no such directory"):
        read(tmp_path, BENCH_WHEELHOUSE=str(ca))


def test_the_ca_bundle_is_the_host_s_unless_said_otherwise(tmp_path, ca, monkeypatch):
    monkeypatch.setattr(site, "HOST_CA_BUNDLES", ("/no/such/bundle", str(ca)))
    assert Site().ca_file() == ca
    assert Site(ca_bundle="none").ca_file() is None
    own = tmp_path / "own.pem"
    own.touch()
    assert read(tmp_path, BENCH_CA_BUNDLE=str(own)).ca_file() == own
    monkeypatch.setattr(site, "HOST_CA_BUNDLES", ())
    assert Site().ca_file() is None


def test_only_wheels_are_taken_from_a_wheelhouse(wheels):
    assert [path.name for path in Site(wheelhouse=str(wheels)).wheels()] == [
        "a-1-py3-none-any.whl", "b-1-py3-none-any.whl",
    ]  # fmt: skip


def test_what_pip_is_told_inside_and_outside(wheels):
    found = Site(pip_index_url="http://i", pip_extra_index_url="http://e", wheelhouse=str(wheels))
    assert found.pip_conf("/opt/w") == (
        "[global]\nindex-url = http://i\nextra-index-url = http://e\nfind-links = /opt/w\n"
    )
    assert found.pip_environment() == {
        "PIP_INDEX_URL": "http://i", "PIP_EXTRA_INDEX_URL": "http://e", "PIP_FIND_LINKS": str(wheels.resolve()),
    }  # fmt: skip
    assert Site(pip_index_url="http://i").pip_conf("/opt/w") == "[global]\nindex-url = http://i\n"
