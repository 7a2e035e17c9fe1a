import docker
import pytest

from orchestrator.base.errors import UserError
from tests.support import engine_choice
from tests.support.checkout import Checkout


def pytest_addoption(parser):
    group = parser.getgroup("engines")
    group.addoption("--engines", help="of the container tests: all, or a,b  [default: those that changed]")
    group.addoption(
        "--record", action="store_true", help=f"enter whole checks that pass in {engine_choice.RECORD.name}"
    )


def pytest_configure(config):
    if config.getoption("engines") is not None:
        try:
            engine_choice.current(config.getoption("engines"))
        except UserError as error:
            raise pytest.UsageError(f"--engines: {error}") from error
    if config.getoption("record"):
        config.pluginmanager.register(engine_choice.Recorder())


def pytest_report_collectionfinish(config, items):
    if any(item.path.name == engine_choice.Recorder.FILE for item in items):
        return engine_choice.current(config.getoption("engines")).lines()
    return []


@pytest.fixture(scope="session")
def daemon():
    """A Docker client; the tests are skipped where no daemon answers."""
    try:
        client = docker.from_env()
        client.ping()
    except Exception as error:
        pytest.skip(f"no Docker daemon answers: {error}")
    return client


@pytest.fixture(scope="session")
def choice(request):
    """The real engines that this session takes."""
    return engine_choice.current(request.config.getoption("engines"))


@pytest.fixture
def checkout(tmp_path, daemon):
    """A copy of the suite in which a test may change files."""
    made = Checkout(tmp_path / "suite")
    (made.path / "results").mkdir()
    yield made
    made.remove_made()
