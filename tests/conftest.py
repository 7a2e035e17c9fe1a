import docker
import pytest

from tests.support.checkout import Checkout


@pytest.fixture(scope="session")
def daemon():
    """A Docker client; the tests are skipped where no daemon answers."""
    try:
        client = docker.from_env()
        client.ping()
    except Exception as error:
        pytest.skip(f"no Docker daemon answers: {error}")
    return client


@pytest.fixture
def checkout(tmp_path, daemon):
    """A copy of the suite in which a test may change files."""
    made = Checkout(tmp_path / "suite")
    (made.path / "results").mkdir()
    yield made
    made.remove_made()
