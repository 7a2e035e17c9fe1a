"""The rules of docs/inside/architecture.md: sizes, names, imports, and where an engine may be named."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.base.paths import ROOT
from orchestrator.plan import engine_yaml

TEMPLATE = ROOT / "orchestrator" / "plan" / "template"  # what `new` lays out: a folder of an engine, not of the suite
ENGINES = engine_yaml.discover()
LEVELS = [
    path
    for top in (ROOT / "orchestrator", ROOT / "common")
    for path in (top, *top.rglob("*"))
    if path.is_dir() and path.name != "__pycache__" and TEMPLATE not in (path, *path.parents)
]
HOST = [path for level in LEVELS for path in sorted(level.glob("*.py"))]
FOLDERS = {engine.folder: engine.builds_on for engine in ENGINES.values()} | {TEMPLATE: None}
CODE = [*HOST, *(path for folder in FOLDERS for path in sorted(folder.rglob("*.py")))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (*CODE, *TESTS)}

# Larger than the rule on 2026-11-28. The figures may only fall, and an entry that the rule covers has to go.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}
FULL_LEVELS = {"orchestrator/base": 14}
SAME_NAMES = {"engine": 2, "speed": 2}
# Imported where they are, and not declared: ROCm brings the first; who trains the tiny model again installs the others.
UNDECLARED = {"amdsmi", "corpus", "safetensors", "torch", "transformers"}
ONLY_MEASURED = {"atheris"}  # of tests/coverage_fuzz.py, which is no test


def name(path):
    return str(path.relative_to(ROOT))


def imported(path):
    """Dotted names of the modules that a file imports, wherever it does so."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def literals(path):
    """Texts in a module's code; docstrings may show an engine's name in an example."""
    statements = (node.value for node in ast.walk(TREES[path]) if isinstance(node, ast.Expr))
    docstrings = {id(value) for value in statements if isinstance(value, ast.Constant)}
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("level", LEVELS, ids=name)
def test_a_level_has_at_most_a_dozen_entries(level):
    entries = [path.name for path in level.iterdir() if not path.name.startswith("__")]
    assert len(entries) <= FULL_LEVELS.get(name(level), 12), sorted(entries)


def test_no_file_is_longer_than_300_lines():
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {path: count for path, count in lines.items() if count > 300} == LONG_FILES


def test_no_function_is_longer_than_60_lines():
    lines = {
        f"{name(path)} {node.name}": node.end_lineno - node.lineno + 1
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert {function: count for function, count in lines.items() if count > 60} == LONG_FUNCTIONS


def test_every_module_says_what_it_is_and_a_package_says_nothing_else():
    assert [name(path) for path in CODE if not ast.get_docstring(TREES[path])] == []
    assert [name(path) for path in HOST if path.stem == "__init__" and len(TREES[path].body) != 1] == []


def test_no_two_modules_have_one_name():
    count = Counter(path.stem for path in HOST if not path.stem.startswith("__"))
    assert {stem: number for stem, number in count.items() if number > 1} == SAME_NAMES


def test_the_host_and_the_container_share_only_the_contract():
    host = [path for path in HOST if ROOT / "orchestrator" in path.parents]
    shared = {module for path in host for module in imported(path) if module.partition(".")[0] == "common"}
    assert shared <= {"common.contract"}


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_an_engine_imports_of_this_suite_only_the_contract_and_what_it_builds_on(folder):
    suite = {path.name for path in ROOT.iterdir() if path.is_dir()}
    tops = {module.partition(".")[0] for path in folder.rglob("*.py") for module in imported(path)}
    builds_on = FOLDERS[folder]
    assert tops & suite <= {"common", folder.name, *([builds_on.name] if builds_on else [])}


def test_nothing_outside_its_folder_names_an_engine():
    word = re.compile(rf"\b({'|'.join(ENGINES)})\b")
    texts = {name(path): "\n".join(literals(path)) for path in HOST}
    for path in (*(ROOT / "docker").iterdir(), *(path for level in LEVELS for path in level.iterdir())):
        if path.suffix in (".sh", ".Dockerfile", ".yaml", ".js", ".j2"):
            texts[name(path)] = path.read_text(encoding="utf-8")
    assert {path: set(word.findall(text)) for path, text in texts.items() if word.search(text)} == {}


def test_no_branch_depends_on_which_engine_it_is():
    branch = re.compile(r"\bengine(_name|\.name)? (==|!=|in|not in) [('\"{[]")
    comparisons = {
        ast.unparse(node): f"{name(path)}:{node.lineno}"
        for path in HOST
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Compare)
    }
    assert {text: where for text, where in comparisons.items() if branch.search(text)} == {}


def requirements(text):
    """Normalised names of the packages in a list of requirements."""
    return {match[0].lower().replace("_", "-") for each in text if (match := re.match(r"[\w.-]+", each))}


def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no reader of TOML")
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = content["project"].get("optional-dependencies", {}) | content.get("dependency-groups", {})
    always = requirements(content["project"]["dependencies"])
    optional = {key: requirements(value) for key, value in extras.items()}
    packages = importlib.metadata.packages_distributions()
    own = {folder.name for folder in FOLDERS}

    def used(paths):
        tops = {module.partition(".")[0] for path in paths for module in imported(path)}
        tops -= {*sys.stdlib_module_names, *UNDECLARED, "orchestrator", "common", "tests", *own}
        return {top: requirements(packages.get(top, [top])) for top in tops}

    host = [path for path in HOST if ROOT / "orchestrator" in path.parents]
    offered = always.union(*(names for key, names in optional.items() if key not in ("test", "docs", "lint")))
    assert {top for top, names in used(host).items() if not names & offered} == set()
    everything = always.union(*optional.values())
    assert {top for top, names in used(TESTS).items() if not names & everything} - ONLY_MEASURED == set()
    read = {text for path in host for text in literals(path)}  # itables is read as a package's data, by its name
    assert always - read - set().union(*used(host).values()) == set()


def test_imports_run_downhill():
    linter = Path(sysconfig.get_path("scripts")) / "lint-imports"
    if not linter.is_file():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
