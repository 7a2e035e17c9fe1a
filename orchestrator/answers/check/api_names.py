"""Do the names that an engine's Python uses exist in the packages its lock pins? Read, not run.

For a device that does not run here. The pinned wheels' source text is analysed by jedi, which follows re-exports,
stubs, inheritance and return types, and imports nothing of it. What it cannot follow is listed, never passed silently.

mypy in its place was tried: faster, and as far-reaching (9 against 10 of 15 misspelt names of one folder), but what a
function without annotations returns is Any, behind which it passes every name without a word.
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
# Beyond this many files parso forgets those that were changed more than ten minutes ago, and jedi then fails on them.
parso.cache._CACHED_SIZE_TRIGGER = 1_000_000


def check_names(engine: Engine, kind: str, cache: Path, environment: dict[str, str] | None = None) -> list[Finding]:
    """Findings on the names that the folder's Python takes from the packages pinned for `kind`.

    `environment` holds pip's settings. A wheel that cannot be had is a finding of its own, neither passed nor failed.
    """
    jedi.settings.cache_directory = cache / "jedi"  # its own lies in the user's home, and two processes may break it
    what = f"{kind}, from sources: "
    files = _files(engine)
    own = OWN | {folder.name for folder in engine.folders} | {path.stem for path in files}
    roots = sorted({root for tree in files.values() for root in _roots(tree)} - own)
    python = python_of(engine.software, kind)
    if python is None:
        return [Finding(f"{what}names exist", None, f"not checked: requirements/{kind}.txt names no Python at its top")]
    findings, fetched, used = [], {}, []
    locked = pins(engine.software, kind)
    for root in roots:
        pin = pin_of(root, locked)
        found = sources(pin, python, kind, cache, environment or {}) if pin else "nothing that is pinned is named so"
        if isinstance(found, Sources):
            fetched[root] = found
            used.append(pin)
        else:
            label = pin.text if pin else root
            findings.append(Finding(f"{what}names of {label} exist", None, f"not checked: {found}"))
    if fetched:
        looked = _Looking(engine.folder, fetched, files)
        for path, tree in files.items():
            looked.up(path, tree)
        findings = [*looked.findings(what, used), *findings]
    return findings


def _files(engine: Engine) -> dict[Path, ast.Module]:
    """The folder's Python files, and what they import of the folders beside it: of common/, of one it builds on."""
    root, found = engine.folder.parent, {}
    waiting = sorted(engine.folder.glob("*.py"))
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        found[path] = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(found[path]):
            if isinstance(node, ast.ImportFrom) and not node.level:
                beside = root / f"{node.module.replace('.', '/')}.py"
                waiting += [beside] if beside.is_file() else []
    return found


def _roots(tree: ast.Module) -> Iterator[str]:
    """Top-level modules that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


@dataclass
class _Looking:
    """Every use of a name in a folder's files, sorted into found, missing and out of reach."""

    folder: Path
    fetched: dict[str, Sources]
    files: dict[Path, ast.Module]
    found: Counter = field(default_factory=Counter)
    missing: Counter = field(default_factory=Counter)
    unknown: Counter = field(default_factory=Counter)

    def findings(self, what: str, used: list[Pin]) -> list[Finding]:
        """What was found, and what could not be looked up."""
        names = ", ".join(dict.fromkeys(pin.text for pin in used))
        bad = "; ".join(f"no {name}" for name in sorted(self.missing))
        good = f"{len(self.found)} names in {names}"
        findings = [Finding(f"{what}names exist", not self.missing, f"{bad}, of {good}" if bad else good)]
        if self.unknown:
            text = ", ".join(sorted(self.unknown))
            findings.append(Finding(f"{what}names that could not be looked up", None, text))
        return findings

    def up(self, path: Path, tree: ast.Module) -> None:
        """Look up every import, attribute and keyword of one file."""
        self._lines = path.read_text(encoding="utf-8").splitlines()
        # What the file asks for with hasattr may be absent.
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr"]
        self._asked = {node.args[1].value for node in calls if isinstance(node.args[1], ast.Constant)}
        added = [str(each.folder) for each in self.fetched.values()]
        self._project = jedi.Project(
            str(self.folder.parent), sys_path=[*added, str(self.folder.parent)], smart_sys_path=False
        )
        self._script = jedi.Script(path=str(path), project=self._project)  # which reads the file, and runs nothing
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._module(alias.name)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module.partition(".")[0] in self.fetched:
                self._module(node.module)
                for alias in node.names:
                    self._imported(node.module, alias)
            elif isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, ast.Call):
                self._keywords(node)
            elif isinstance(node, ast.List):
                self._started(node)

    def _module(self, name: str) -> None:
        root = name.partition(".")[0]
        if root in self.fetched:
            self._note(name, self._is_module(name))

    def _is_module(self, name: str) -> bool | None:
        """None for a compiled module: it exists, and nothing can be seen of it."""
        held = self.fetched[name.partition(".")[0]]
        if name in held.compiled:
            return None
        path = held.folder / name.replace(".", "/")
        return path.is_dir() or any(path.with_name(path.name + end).is_file() for end in (".py", ".pyi"))

    def _imported(self, module: str, alias: ast.alias) -> None:
        name = f"{module}.{alias.name}"
        if self._foreign(self._script.goto(alias.lineno, _column(self._lines, alias), follow_imports=True)):
            self._note(name, True)
        elif self._is_module(module) is not False:
            exists = self._is_module(name)
            self._note(name, None if exists is False and self._hides(module) else exists)

    def _hides(self, module: str, seen: tuple[str, ...] = ()) -> bool:
        """Does a module take names from where none can be seen: by __getattr__, or `from x import *` of such an x?"""
        held = self.fetched.get(module.partition(".")[0])
        path = held and held.folder / module.replace(".", "/")
        file = path and next(
            (p for p in (path / "__init__.py", path.with_name(f"{path.name}.py")) if p.is_file()), None
        )
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
        holder = node.value.func if called else node.value
        if isinstance(holder, (ast.Name, ast.Attribute)):
            owners = self._script.infer(holder.end_lineno, _column(self._lines, holder, end=True) - 1)
            owners = [made for each in owners for made in each.execute()] if called else owners
        if self._foreign(owners):
            before = at[1] - len(node.attr) + 1
            visible = {each.name for each in self._script.complete(node.end_lineno, before)}
            hidden = not visible or node.attr in self._asked or "__getattr__" in visible
            hidden = hidden or any(map(self._opaque, self._foreign(owners)))
            self._note(name, node.attr in visible or (None if hidden else False))
        elif not owners and not defined:
            self._note(node.attr, None)

    def _opaque(self, owner: Any) -> bool:
        """May this module or class have names that its source does not show: of a base that nobody can see?"""
        if owner.type == "module":
            return self._hides(owner.full_name)
        made = _class(owner)
        if made is None:
            return True
        text = Path(owner.module_path).read_text(encoding="utf-8")
        script = jedi.Script(text, path=str(owner.module_path), project=self._project)
        for base in [*made.bases, *(each.value for each in made.keywords)]:
            named = base.value if isinstance(base, ast.Subscript) else base
            behind = script.infer(named.end_lineno, _column(text.splitlines(), named, end=True) - 1)
            if not behind or any(self._opaque(each) for each in self._foreign(behind)):
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
            if not signatures and not self._known(node.func):
                for name in names:
                    self._note(f"{_last(node.func)}({name}=)", None)
            return
        accepted, open_ended = set(), False
        for signature in foreign:
            accepted |= {each.name for each in signature.params}
            if signature.type == "class":
                accepted |= {each.name for each in signature.defined_names()} | self._of_new(signature)
            # Without parameters of its own a class may take those of a base that cannot be seen.
            open_ended |= not signature.params or any(each.kind.name == "VAR_KEYWORD" for each in signature.params)
        for name in names:
            self._note(f"{_last(node.func)}({name}=)", name in accepted or (None if open_ended else False))

    def _of_new(self, owner: Any) -> set[str]:
        """The parameters of a class's own __new__, which jedi does not ask."""
        made = _class(owner)
        news = [node for node in made.body if getattr(node, "name", "") == "__new__"] if made else []
        return {arg.arg for node in news for arg in [*node.args.args, *node.args.kwonlyargs]}

    def _known(self, function: ast.expr) -> bool:
        """Is this a function of the folder's own, or of the standard library?"""
        return bool(
            self._script.goto(function.end_lineno, _column(self._lines, function, end=True) - 1, follow_imports=True)
        )

    def _started(self, node: ast.List) -> None:
        """A command's ["-m", "package.module"]."""
        words = [each.value if isinstance(each, ast.Constant) else None for each in node.elts]
        for option, name in itertools.pairwise(words):
            if option == "-m" and isinstance(name, str):
                self._module(name)

    def _note(self, name: str, exists: bool | None) -> None:
        {True: self.found, False: self.missing, None: self.unknown}[exists][name] += 1

    def _foreign(self, definitions: list[Any]) -> list[Any]:
        """Those that lie in the pinned packages."""
        folders = [each.folder.resolve() for each in self.fetched.values()]
        return [
            each for each in definitions
            if each.module_path and any(folder in Path(each.module_path).resolve().parents for folder in folders)
        ]  # fmt: skip


def _column(lines: list[str], node: ast.AST, end: bool = False) -> int:
    """ast counts bytes, jedi characters."""
    line, offset = (node.end_lineno, node.end_col_offset) if end else (node.lineno, node.col_offset)
    return len(lines[line - 1].encode()[:offset].decode())


def _class(owner: Any) -> ast.ClassDef | None:
    """The class behind what jedi says of one, or of an instance of it."""
    tree = ast.parse(Path(owner.module_path).read_text(encoding="utf-8"))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return next((node for node in nodes if node.lineno == owner.line), None)


def _last(function: ast.expr) -> str:
    """The name that is called, without the way to it."""
    return function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
