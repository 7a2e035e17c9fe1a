"""Which real engines the container tests take, and the record of the whole checks that let them leave others out.

Always: the engines that a newcomer's run measures. Each other one: where its content differs from what its last
recorded check covered, and when it is its turn.
"""

import functools
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from orchestrator.plan.engine import Engine, select_engines
from orchestrator.plan.engine_yaml import discover
from orchestrator.sandbox.image_context import content_hash, context_files
from tests.support.checkout import ROOT

RECORD = ROOT / "tests" / "container" / "checked.yaml"
HEAD = """\
# The last whole check of each engine that passed: the content it covered, when, and how it went. The container tests
# leave an engine out while its content is the recorded one. Written by ./test.sh --engines NAME --record
"""
TURNS = 2  # engines of the rest that are taken all the same
BASE = ("docker/base.Dockerfile", "docker/debian_base.sh")
DAY_S = 86400


@dataclass(frozen=True)
class Choice:
    """The engines that are taken and those that are left out, each with the reason."""

    taken: dict[str, str]
    left_out: dict[str, str]

    def lines(self) -> list[str]:
        return [
            *(f"engine {name}: taken, {why}" for name, why in self.taken.items()),
            *(f"engine {name}: left out, {why}" for name, why in self.left_out.items()),
        ]


def content(engine: Engine, root: Path = ROOT) -> str:
    """12 hex digits over what an engine's check covers: its folders, common/, docker/. The same on every machine."""
    further = [*(folder / "engine.yaml" for folder in engine.folders), *(root / name for name in BASE)]
    files = context_files(root, *engine.folders) | {str(path.relative_to(root)): path for path in further}
    return content_hash(files, {}, None)


def choose(engines: Iterable[Engine], contents: dict[str, str], record: dict[str, dict[str, str]], day: int) -> Choice:
    """By the rule above; whose turn it is follows from the number of the `day` alone."""
    taken, rest = {}, []
    for engine in engines:
        last = record.get(engine.name)
        if engine.by_default:
            taken[engine.name] = "as always"
        elif last is None or last["content"] != contents[engine.name]:
            what = f"last checked whole as {last['content']} on {last['date']}" if last else "never checked whole"
            taken[engine.name] = f"its content is {contents[engine.name]}, {what}"
        else:
            rest.append(engine.name)
    first = day * TURNS % len(rest) if rest else 0
    for name in (rest * 2)[first : first + min(TURNS, len(rest))]:
        taken[name] = f"its turn on day {day}"
    left_out = {
        name: f"its content {contents[name]} was checked whole on {record[name]['date']}"
        for name in rest if name not in taken
    }  # fmt: skip
    return Choice(taken, left_out)


@functools.cache
def current(requested: str | None) -> Choice:
    """For this checkout. `requested`: what --engines says, `all` or `a,b`; None: by the rule above.

    Raises UserError for an engine that does not exist.
    """
    engines = {name: engine for name, engine in discover(ROOT).items() if not engine.test_only}
    if requested is not None:
        taken = {engine.name: "asked for" for engine in select_engines(requested, engines)}
        return Choice(taken, {name: "not asked for" for name in engines if name not in taken})
    contents = {name: content(engine) for name, engine in engines.items()}
    return choose(engines.values(), contents, read_record(), _day_of_commit())


def read_record() -> dict[str, dict[str, str]]:
    return yaml.safe_load(RECORD.read_text(encoding="utf-8")) or {}


def write_record(results: dict[str, str]) -> None:
    """Enter the engines whose whole check passed just now, with how it went."""
    engines, date = discover(ROOT), time.strftime("%Y-%m-%d", time.gmtime())
    entries = {
        name: {"content": content(engines[name]), "date": date, "result": text} for name, text in results.items()
    }
    text = yaml.safe_dump(read_record() | entries, width=1000)
    RECORD.write_text(HEAD + text, encoding="utf-8")


def _day_of_commit() -> int:
    """Days since 1970 of the commit that is checked out, so that a commit has one answer; today without Git."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) // DAY_S
    except (OSError, ValueError, subprocess.CalledProcessError):
        return int(time.time()) // DAY_S


class Recorder:
    """A pytest plugin: when the session ends, records the engines whose every test in test_real_engines.py passed."""

    FILE = "test_real_engines.py"

    def __init__(self) -> None:
        self._open: dict[str, int] = {}  # tests of an engine that have not passed yet
        self._said: dict[str, list[str]] = {}

    def pytest_collection_finish(self, session) -> None:
        for item in session.items:
            if item.path.name == self.FILE and hasattr(item, "callspec"):
                name = item.callspec.params["engine"]
                self._open[name] = self._open.get(name, 0) + 1

    def pytest_deselected(self, items) -> None:
        if any(item.path.name == self.FILE for item in items):
            raise pytest.UsageError(f"--record needs every test of {self.FILE}: leave -k and -m out")

    def pytest_runtest_logreport(self, report) -> None:
        name = report.nodeid.rpartition("[")[2].rstrip("]")
        if self.FILE in report.nodeid and name in self._open and report.when == "call" and report.passed:
            self._open[name] -= 1
            self._said.setdefault(name, []).extend(text for key, text in report.user_properties if key == "result")

    def pytest_sessionfinish(self) -> None:
        if results := {name: "; ".join(self._said[name]) for name, left in self._open.items() if left == 0}:
            write_record(results)
