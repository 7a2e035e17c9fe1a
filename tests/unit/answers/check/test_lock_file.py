"""Locks of made-up packages: those that agree, those that do not, and those of which something is out of sight."""

import zipfile

import pytest

from orchestrator.answers.check.lock_file import check_lock
from orchestrator.plan.engine import DeviceEntry, Support
from tests.support.contenders import engine

HEAD = "# Full lock, Linux x86-64, Python 3.12.\n"
PACKAGES = {"fast": ["slow<2"], "slow": ["deep"], "deep": []}


@pytest.fixture
def check(tmp_path):
    """check_lock for a lock of a site that has 1.0 and 2.0 of PACKAGES, and only a source distribution of `raw`."""
    site, folder = tmp_path / "site", tmp_path / "bench_alpha"
    site.mkdir()
    (folder / "requirements").mkdir(parents=True)
    (site / "raw-1.0.tar.gz").write_bytes(b"")
    for name, needs in PACKAGES.items():
        for version in ("1.0", "2.0"):
            with zipfile.ZipFile(site / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
                info = f"{name}-{version}.dist-info"
                lines = "".join(f"Requires-Dist: {need}\n" for need in needs)
                wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}")
                wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
                wheel.writestr(f"{info}/RECORD", "")

    def run(monkeypatch, lock, head=HEAD, extra_index_url=None):
        monkeypatch.setenv("UV_NO_INDEX", "1")
        (folder / "requirements" / "cuda.txt").write_text(head + lock)
        entry = DeviceEntry(Support("supported"), "base", extra_index_url=extra_index_url)
        made = engine(folder=folder, devices={"cuda": entry})
        return check_lock(made, "cuda", {"PIP_FIND_LINKS": str(site)})

    return run


@pytest.mark.parametrize(("lock", "passed", "detail"), [
    ("fast==1.0\nslow==1.0\ndeep==2.0\n", True, "3 packages agree"),
    ("fast==1.0+cu130\nslow==1.0 # why\ndeep==2.0\n", True, "3 packages agree"),
    ("fast==1.0\nslow==2.0\ndeep==2.0\n", False, "slow==2.0"),
    ("fast==1.0\nslow==1.0\n", False, "it lacks deep"),
    ("fast==1.0\nslow==1.0\ndeep==2.0\nraw==1.0\n", True,
     "4 packages agree; without a wheel on the default index, so not seen: raw"),
    ("elsewhere==1.0\n", None, "elsewhere"),
    ("", None, "it pins nothing"),
])  # fmt: skip
def test_a_lock_that_agrees_passes_and_the_culprit_of_one_that_does_not_is_named(
    check, monkeypatch, lock, passed, detail
):
    found = check(monkeypatch, lock)
    assert found.passed is passed, found.detail
    assert detail in found.detail


def test_what_another_index_brings_is_not_missed(check, monkeypatch):
    found = check(monkeypatch, "fast==1.0\nslow==1.0\n", extra_index_url="https://index.example")
    assert (found.passed, found.detail) == (True, "2 packages agree; those of https://index.example not seen")


def test_a_build_that_only_another_index_has_is_left_out_and_named(check, monkeypatch):
    lock = "fast==1.0\nslow==1.0\ndeep==3.0\n"
    assert check(monkeypatch, lock).passed is False
    found = check(monkeypatch, lock, extra_index_url="https://index.example")
    assert found.passed is True
    assert found.detail.endswith("not seen: deep")


def test_a_lock_that_names_no_python_is_said_to_be_unchecked(check, monkeypatch):
    found = check(monkeypatch, "fast==1.0\n", head="")
    assert found.passed is None and "names no Python" in found.detail
