"""Do the names that an engine's Python uses exist in the packages that its lock pins? Nothing is executed.

For a device that does not run here. jedi analyses the source text of the pinned wheels: it follows re-exports, stubs,
inheritance and return types, and imports nothing. Names that it cannot follow are listed, never passed silently.

mypy was tried instead: it is faster and finds as much (9 against 10 of 15 misspelt names of one folder), but a function
without annotations returns Any, on which it silently accepts every name.
"""

from __future__ import annotations

import ast
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jedi
import parso.cache

from orchestrator.answers.check.finding import Finding
from orchestrator.answers.check.pinned import Pin, Sources, pin_of, pins, python_of, sources
from orchestrator.plan.engine import Engine

OWN = {"common", "orchestrator", *sys.stdlib_module_names}
# Beyond this many files parso evicts those that were changed more than ten minutes ago, and jedi then fails on them.
parso.cache._CACHED_SIZE_TRIGGER = 1_000_000


def check_names(engine: Engine, kind: str, cache: Path, environment: dict[str, str] | None = None) -> list[Finding]:
    """Findings on the names that the folder's Python takes from the packages pinned for `kind`.

    `environment` holds pip's settings. A wheel that is not available is a finding that neither passes nor fails.
    """
    jedi.settings.cache_directory = cache / "jedi"  # the default, in the user's home, breaks with two processes
    what = f"{kind}, from sources: "
    files = _files(engine)
    own = OWN | {folder.name for folder in engine.folders} | {path.stem for path in files}
    roots = sorted({root for tree in files.values() for root in _roots(tree)} - own)
    python = python_of(engine.software, kind)
    if python is None:
        return [Finding(f"{what}names exist", None, f"not checked: requirements/{kind}.txt names no Python at its top")]
    findings: list[Finding] = []
    fetched: dict[str, Sources] = {}
    used: list[Pin] = []
    locked = pins(engine.software, kind)
    for root in roots:
        pin = pin_of(root, locked)
        wheel = sources(pin, python, kind, cache, environment or {}) if pin else "nothing that is pinned is named so"
        if pin is not None and isinstance(wheel, Sources):
            fetched[root] = wheel
            used.append(pin)
        else:
            label = pin.text if pin else root
            findings.append(Finding(f"{what}names of {label} exist", None, f"not checked: {wheel}"))
    if fetched:
        lookup = _NameLookup(engine.folder, fetched, files)
        for path, tree in files.items():
            lookup.check_file(path, tree)
        findings = [*lookup.findings(what, used), *findings]
    return findings


def _files(engine: Engine) -> dict[Path, ast.Module]:
    """The folder's Python files, and those that they import from sibling folders, such as common/."""
    root, trees = engine.folder.parent, {}
    waiting = sorted(engine.folder.glob("*.py"))
    while waiting:
        path = waiting.pop(0)
        if path in trees:
            continue
        trees[path] = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(trees[path]):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported = root / f"{node.module.replace('.', '/')}.py"
                waiting += [imported] if imported.is_file() else []
    return trees


def _roots(tree: ast.Module) -> Iterator[str]:
    """Top-level modules that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@dataclass
class _NameLookup:
    """Looks up every name that a folder's files use, and counts it as existing, missing or unknown."""

    folder: Path
    fetched: dict[str, Sources]
    files: dict[Path, ast.Module]
    existing: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def findings(self, what: str, used: list[Pin]) -> list[Finding]:
        """The result for all files that were checked; names that could not be looked up are a finding of their own."""
        names = ", ".join(dict.fromkeys(pin.text for pin in used))
        bad = "; ".join(f"no {name}" for name in sorted(self.missing))
        good = f"{len(self.existing)} names in {names}"
        findings = [Finding(f"{what}names exist", not self.missing, f"{bad}, of {good}" if bad else good)]
        if self.unknown:
            text = ", ".join(sorted(self.unknown))
            findings.append(Finding(f"{what}names that could not be looked up", None, text))
        return findings

    def check_file(self, path: Path, tree: ast.Module) -> None:
        """Look up every import, attribute and keyword of one file."""
        self._lines = path.read_text(encoding="utf-8").splitlines()
        # Names that the file tests with hasattr may be absent.
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr"]
        self._asked = {node.args[1].value for node in calls if isinstance(node.args[1], ast.Constant)}
        added = [str(wheel.folder) for wheel in self.fetched.values()]
        self._project = jedi.Project(
            str(self.folder.parent), sys_path=[*added, str(self.folder.parent)], smart_sys_path=False
        )
        self._script = jedi.Script(path=str(path), project=self._project)  # reads the file, and runs nothing
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._module(alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                if node.module.partition(".")[0] in self.fetched:
                    self._module(node.module)
                    for alias in node.names:
                        self._imported(node.module, alias)
            elif isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, ast.Call):
                self._keywords(node)
            elif isinstance(node, ast.List):
                self._command(node)

    def _module(self, name: str) -> None:
        root = name.partition(".")[0]
        if root in self.fetched:
            self._note(name, self._is_module(name))

    def _is_module(self, name: str) -> bool | None:
        """Whether a module exists; None for a compiled one, which has no source."""
        wheel = self.fetched[name.partition(".")[0]]
        if name in wheel.compiled:
            return None
        path = wheel.folder / name.replace(".", "/")
        return path.is_dir() or any(path.with_name(path.name + end).is_file() for end in (".py", ".pyi"))

    def _imported(self, module: str, alias: ast.alias) -> None:
        name = f"{module}.{alias.name}"
        if self._foreign(self._script.goto(alias.lineno, _column(self._lines, alias), follow_imports=True)):
            self._note(name, True)
        elif self._is_module(module) is not False:
            exists = self._is_module(name)
            self._note(name, None if exists is False and self._hides(module) else exists)

    def _hides(self, module: str, seen: tuple[str, ...] = ()) -> bool:
        """Whether a module has names that its source lacks: by __getattr__, or `from x import *` of such an x."""
        wheel = self.fetched.get(module.partition(".")[0])
        path = wheel.folder / module.replace(".", "/") if wheel else None
        places = (path / "__init__.py", path.with_name(f"{path.name}.py")) if path else ()
        file = next((place for place in places if place.is_file()), None)
        if file is None or module in seen:
            return file is None
        package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body):
            return True
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                above = package[: len(package) - node.level + 1] if node.level else []
                behind = ".".join([*above, *([node.module] if node.module else [])])
                if self._hides(behind, (*seen, module)):
                    return True
        return False

    def _attribute(self, node: ast.Attribute) -> None:
        name = ast.unparse(node)
        at = (node.end_lineno, _column(self._lines, node, end=True) - 1)
        defined = self._script.goto(*at, follow_imports=True)
        if self._foreign(defined):
            self._note(name, True)
            return
        owners = []
        called = isinstance(node.value, ast.Call)
        holder = node.value.func if isinstance(node.value, ast.Call) else node.value
        if isinstance(holder, (ast.Name, ast.Attribute)):
            owners = self._script.infer(holder.end_lineno, _column(self._lines, holder, end=True) - 1)
            owners = [instance for owner in owners for instance in owner.execute()] if called else owners
        if self._foreign(owners):
            before = at[1] - len(node.attr) + 1
            visible = {completion.name for completion in self._script.complete(node.end_lineno, before)}
            hidden = not visible or node.attr in self._asked or "__getattr__" in visible
            hidden = hidden or any(map(self._opaque, self._foreign(owners)))
            self._note(name, node.attr in visible or (None if hidden else False))
        elif not owners and not defined:
            self._note(node.attr, None)

    def _opaque(self, owner: Any) -> bool:
        """Whether a module or class may have names that its source does not show, such as those of an unknown base."""
        if owner.type == "module":
            return self._hides(owner.full_name)
        definition = _class(owner)
        if definition is None:
            return True
        text = Path(owner.module_path).read_text(encoding="utf-8")
        script = jedi.Script(text, path=str(owner.module_path), project=self._project)
        for base in [*definition.bases, *(keyword.value for keyword in definition.keywords)]:
            name = base.value if isinstance(base, ast.Subscript) else base
            classes = script.infer(name.end_lineno, _column(text.splitlines(), name, end=True) - 1)
            if not classes or any(map(self._opaque, self._foreign(classes))):
                return True
        return False

    def _keywords(self, node: ast.Call) -> None:
        """A keyword must be a parameter, or a field of the class that is called."""
        names = [keyword.arg for keyword in node.keywords if keyword.arg]
        if not names:
            return
        after = _column(self._lines, node.func, end=True) + 1
        signatures = self._script.get_signatures(node.func.end_lineno, after)
        foreign = self._foreign(signatures)
        if not foreign:
            if not signatures and not self._is_local(node.func):
                for name in names:
                    self._note(f"{_last(node.func)}({name}=)", None)
            return
        accepted, open_ended = set(), False
        for signature in foreign:
            accepted |= {param.name for param in signature.params}
            if signature.type == "class":
                accepted |= {name.name for name in signature.defined_names()} | self._parameters_of_new(signature)
            # Without parameters of its own a class may take those of a base that is unknown.
            open_ended |= not signature.params or any(param.kind.name == "VAR_KEYWORD" for param in signature.params)
        for name in names:
            self._note(f"{_last(node.func)}({name}=)", name in accepted or (None if open_ended else False))

    def _parameters_of_new(self, owner: Any) -> set[str]:
        """The parameters of a class's own __new__, which jedi ignores."""
        definition = _class(owner)
        functions = [node for node in definition.body if isinstance(node, ast.FunctionDef)] if definition else []
        news = [function for function in functions if function.name == "__new__"]
        return {arg.arg for node in news for arg in [*node.args.args, *node.args.kwonlyargs]}

    def _is_local(self, function: ast.expr) -> bool:
        """Whether this is a function of the folder's own, or of the standard library."""
        return bool(
            self._script.goto(function.end_lineno, _column(self._lines, function, end=True) - 1, follow_imports=True)
        )

    def _command(self, node: ast.List) -> None:
        """The module of a command with ["-m", "package.module"]."""
        words = [element.value if isinstance(element, ast.Constant) else None for element in node.elts]
        for option, name in itertools.pairwise(words):
            if option == "-m" and isinstance(name, str):
                self._module(name)

    def _note(self, name: str, exists: bool | None) -> None:
        {True: self.existing, False: self.missing, None: self.unknown}[exists][name] += 1

    def _foreign(self, definitions: list[Any]) -> list[Any]:
        """The definitions that are in the pinned packages."""
        folders = [wheel.folder.resolve() for wheel in self.fetched.values()]
        return [
            definition for definition in definitions
            if definition.module_path and not set(folders).isdisjoint(Path(definition.module_path).resolve().parents)
        ]  # fmt: skip


def _column(lines: list[str], node: ast.expr | ast.alias, end: bool = False) -> int:
    """A node's column in characters, as jedi counts; ast counts bytes."""
    line, offset = node.lineno, node.col_offset
    if end and node.end_lineno is not None and node.end_col_offset is not None:
        line, offset = node.end_lineno, node.end_col_offset
    return len(lines[line - 1].encode()[:offset].decode())


def _class(owner: Any) -> ast.ClassDef | None:
    """The source of a class, given jedi's name of it or of an instance."""
    tree = ast.parse(Path(owner.module_path).read_text(encoding="utf-8"))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return next((node for node in nodes if node.lineno == owner.line), None)


def _last(function: ast.expr) -> str:
    """The last part of the name that is called."""
    return function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
