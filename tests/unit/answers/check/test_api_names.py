"""Names that a folder's Python uses, looked up in made-up wheels."""

import zipfile

import pytest

from orchestrator.answers.check import pinned
from orchestrator.answers.check.api_names import check_names
from tests.support.contenders import engine

HEAD = "# Full lock, Linux x86-64, Python 3.12.\n"
FILES = {
    "speedy/broken.py": "raise SystemExit('this was executed')\n",
    "speedy/__init__.py": "from speedy.core import *\nfrom speedy.core import Runner as Engine\n",
    "speedy/core.py": """
class Base:
    def close(self): ...

class Cache(Base):
    size: int = 0

class Runner(Base):
    def __init__(self, path, threads=1):
        self.cache = Cache()
    def step(self, ids, last=True): ...
    @classmethod
    def open(cls, path) -> "Runner":
        return cls(path)

class Anything:
    def __getattr__(self, name): ...

def free(**options): ...
""",
    "speedy/cli.py": "",
    "speedy/_native.cpython-312-x86_64-linux-gnu.so": "machine code",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A wheelhouse whose only package is speedy, and the cache of what was fetched."""
    wheels = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(wheels / "speedy-1.0-py3-none-any.whl", "w") as wheel:
        info = "speedy-1.0.dist-info"
        for name, text in FILES.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: speedy\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return wheels, tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path, site):
    """check_names for a folder whose lock pins speedy."""
    wheels, cache = site
    made = tmp_path / "bench_alpha"
    (made / "requirements").mkdir(parents=True)
    (made / "requirements" / "cuda.txt").write_text(f"{HEAD}speedy==1.0\n")

    def check(code, **more):
        (made / "bench.py").write_text(code)
        environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), **more}
        return check_names(engine(folder=made), "cuda", cache, environment)

    check.folder = made
    return check


GOOD = """
import sys
import speedy
from speedy import Engine
from speedy.core import Runner

runner = Engine("model", threads=2)
runner.step([1], last=False)
runner.close()
runner.cache.size = 3
Runner.open("x").step([2])
command = [sys.executable, "-m", "speedy.cli"]
"""


def test_names_are_found_through_reexports_bases_and_return_types(folder):
    (found,) = folder(GOOD)
    assert found.passed, found.detail
    assert found.detail.endswith("names in speedy 1.0")
    assert int(found.detail.split()[0]) >= 10


@pytest.mark.parametrize(("code", "name"), [
    ("from speedy import Motor", "speedy.Motor"),
    ("import speedy.engine", "speedy.engine"),
    ("import speedy\nspeedy.Enigne", "speedy.Enigne"),
    ("from speedy import Engine\nEngine('x').stop()", "Engine('x').stop"),
    ("from speedy import Engine\nEngine('x', workers=2)", "Engine(workers=)"),
    ("from speedy.core import Runner\nRunner.open('x').step([], first=True)", "step(first=)"),
    ("from speedy import Engine\nengine = Engine('x')\nengine.cache.sise = 3", "engine.cache.sise"),
    ("command = ['python', '-m', 'speedy.convert']\nimport speedy", "speedy.convert"),
])  # fmt: skip
def test_a_name_that_the_pinned_version_lacks_fails(folder, code, name):
    found = folder(code)[0]
    assert found.passed is False
    assert found.detail.startswith(f"no {name}, of ")


@pytest.mark.parametrize(("code", "name"), [
    ("from speedy import _native\n_native.fast()", "speedy._native"),
    ("from speedy._native import fast", "speedy._native.fast"),
    ("from speedy.core import Anything\nAnything().whatever", "Anything().whatever"),
    ("from speedy.core import free\nfree(now=1)", "free(now=)"),
    ("import speedy\ndef run(model):\n    model.forward()", "forward"),
    ("from speedy import Engine\nmade = Engine('x')\nif hasattr(made, 'turbo'):\n    made.turbo()", "made.turbo"),
])  # fmt: skip
def test_what_no_source_shows_is_listed_and_not_passed(folder, code, name):
    found, unknown = folder(code)
    assert found.passed
    assert unknown.passed is None
    assert name in unknown.detail.split(", ")


def test_a_wheel_that_cannot_be_had_is_said_to_be_unchecked(folder):
    (folder.folder / "requirements" / "cuda.txt").write_text(f"{HEAD}speedy==2.0\n")
    (found,) = folder(GOOD)
    assert found.passed is None
    assert found.check == "cuda, from sources: names of speedy 2.0 exist"
    assert found.detail.startswith("not checked: ") and "speedy==2.0" in found.detail


def test_a_module_that_nothing_pins_is_said_to_be_unchecked(folder):
    (found,) = folder("import elsewhere")
    assert (found.passed, found.detail) == (None, "not checked: nothing that is pinned is named so")


def test_a_lock_that_names_no_python_is_said_to_be_unchecked(folder):
    (folder.folder / "requirements" / "cuda.txt").write_text("speedy==1.0\n")
    (found,) = folder(GOOD)
    assert found.passed is None and "names no Python" in found.detail


def test_what_was_fetched_once_needs_no_index(folder):
    assert folder("import speedy\nspeedy.Engine")[0].passed
    assert folder("import speedy\nspeedy.Engine", PIP_FIND_LINKS="/nonexistent")[0].passed


def test_the_package_of_a_module_is_told_by_its_name(tmp_path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "build.sh").write_text("pip install fast_gpt==2.1 # not fast-gpt==9\n")
    (tmp_path / "requirements" / "cuda.txt").write_text("onnx-runtime-cuda==1.0\nOnnx_Runtime==3.0+cu1 ; x\nonnx==4\n")
    locked = pinned.pins(tmp_path, "cuda")
    assert pinned.pin_of("fast_gpt", locked).text == "fast_gpt 2.1"
    assert pinned.pin_of("onnx_runtime", locked).version == "3.0+cu1"
    del locked["onnx-runtime"]
    assert pinned.pin_of("onnx_runtime", locked).name == "onnx-runtime-cuda"
    assert pinned.pin_of("torch", locked) is None


def test_nothing_of_a_package_is_executed(folder):
    assert folder("import speedy.broken")[0].passed


def test_modules_beside_the_folder_are_read_where_it_imports_them(folder):
    (folder.folder.parent / "common").mkdir()
    (folder.folder.parent / "common" / "loops.py").write_text("from speedy import Motor")
    (folder.folder.parent / "common" / "other.py").write_text("from speedy import Wheel")
    (found,) = folder("from common.loops import Motor")
    assert found.detail.startswith("no speedy.Motor, of ")
