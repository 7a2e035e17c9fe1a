"""Bills of materials: CycloneDX documents that scanners can read."""

import json
from types import SimpleNamespace

import pytest

from orchestrator.sandbox.sbom import document

ENGINE = SimpleNamespace(name="alpha")
IMAGE = SimpleNamespace(tag="llm-bench/alpha:1", id="sha256:2")


def packages(distribution, **kinds):
    return {"python": "3.11.7", "distribution": distribution, **kinds}


def urls(listed):
    return [each.get("purl") for each in json.loads(document(ENGINE, IMAGE, listed))["components"]]


def test_packages_are_named_as_scanners_know_them():
    libssl = {"name": "libssl3", "version": "3.0.15-1~deb12u1"}
    torch = {"name": "Torch_Geometric", "version": "2.9.0+cpu"}
    offered = urls(packages("Debian GNU/Linux 12 (bookworm)", deb=[libssl], pypi=[torch]))
    assert set(offered) == {
        None,
        "pkg:deb/debian/libssl3@3.0.15-1~deb12u1",
        "pkg:pypi/torch-geometric@2.9.0%2Bcpu",
    }
    assert "pkg:deb/ubuntu/libssl3@3.0.15-1~deb12u1" in urls(packages("Ubuntu 24.04.3 LTS", deb=[libssl]))
    assert "pkg:rpm/redhat/libssl3@3.0.15-1~deb12u1" in urls(packages("Red Hat Enterprise Linux 9.4", rpm=[libssl]))


def test_the_image_is_what_the_document_is_about():
    told = json.loads(document(ENGINE, IMAGE, packages("Debian")))
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    component = told["metadata"]["component"]
    assert (component["type"], component["name"], component["version"]) == ("container", IMAGE.tag, IMAGE.id)
    assert told["metadata"]["properties"] == [{"name": "engine", "value": "alpha"}]
    assert [(each["type"], each["name"], each["version"]) for each in told["components"]] == [
        ("platform", "python", "3.11.7")
    ]


def test_a_package_without_a_name_is_an_error():
    with pytest.raises(ValueError, match="name"):
        document(ENGINE, IMAGE, packages("Debian", pypi=[{"name": "", "version": "1"}]))
