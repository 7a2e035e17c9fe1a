import pytest

from tests.support.checkout import ROOT, Checkout, prune, remove_venvs

NAME = "faulty"  # of most tests' engine: what is installed for it is installed once


@pytest.fixture(scope="session")
def installed():
    """When the tests are over, what was installed for their engine goes."""
    isolations = set()
    yield isolations
    remove_venvs(ROOT / ".cache", NAME)
    if "docker" in isolations:
        prune()


@pytest.fixture(params=[pytest.param("docker", marks=pytest.mark.container), "venv"])
def isolation(request, installed):
    """Each fault is provoked in containers and in virtual environments; the former are skipped without a daemon."""
    if request.param == "docker":
        request.getfixturevalue("daemon")
    installed.add(request.param)
    return request.param


@pytest.fixture
def checkout(tmp_path, isolation):
    """A copy of the suite in which a test may change files, and which runs everything in `isolation`."""
    made = Checkout(tmp_path / "suite", isolation=isolation)
    (made.path / "results").mkdir()
    yield made
    made.remove_made(layers=False)
    for name in made.made:
        if name != NAME:
            remove_venvs(made.cache, name)
