"""Reads untrusted files: size limits, strict JSON and YAML, declared types, errors of one line."""

from __future__ import annotations

import difflib
import json
import math
import re
import stat
import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from orchestrator.base.errors import UserError

T = TypeVar("T")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as escaped in JSON
LARGEST = 2**63  # far above any time, count or size here


class Unreadable(ValueError):
    """The file is invalid; the message, one line, begins with its name."""


def read_text(path: Path, limit: int) -> str:
    """The text of a plain file of at most `limit` bytes. Raises Unreadable, FileNotFoundError.

    A link could point to a file of the host, and reading a pipe would block forever.
    """
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise Unreadable(f"{path.name} is not a plain file")
    if facts.st_size > limit:
        raise Unreadable(f"{path.name} has {facts.st_size} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path.name} is not valid: {error}") from error


def parse(text: str) -> Any:
    """JSON without NaN, infinity and lone surrogates, which files and terminals cannot encode. Raises ValueError."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        return without_halves(value) if SURROGATE.search(text) else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def without_halves(value: Any) -> Any:
    """`value` with U+FFFD for every lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_halves(item) for item in value]
    if isinstance(value, dict):
        return {without_halves(key): without_halves(item) for key, item in value.items()}
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def is_count(value: Any) -> bool:
    """Whether `value` is an integer from 0 to LARGEST; a bool is not."""
    return type(value) is int and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number; a bool is not."""
    return type(value) in (int, float) and abs(value) < LARGEST


# -- strictly as a type ------------------------------------------------------------------------------------------------


class Mismatch(ValueError):
    """A value is not of its declared type: `keys` lead to it, `expected` says what is wanted there."""

    def __init__(self, keys: Sequence[str | int], expected: str):
        where = ".".join(map(str, keys))
        super().__init__(f"{where}: expected {expected}" if where else f"expected {expected}")
        self.keys, self.expected = tuple(keys), expected


def convert(value: Any, kind: type[T]) -> T:
    """`value`, as JSON or YAML gives it, as `kind`: a dataclass or a msgspec.Struct. Nothing is coerced.

    A dataclass ignores keys that it does not declare; a Struct with `forbid_unknown_fields` refuses them. A
    msgspec.Meta(description=...) in a type is what was expected; a `__post_init__` raises ValueError("KEY: EXPECTED").
    Raises Mismatch.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _mismatch(value, kind, str(error)) from None
    except RecursionError:
        raise Mismatch((), "less nesting") from None


_SEGMENT = re.compile(r"\.(?P<name>\w+)|\[(?P<index>\d+|\.\.\.)\]")
_WORDS = {"str": "text", "bool": "true or false", "int": "a whole number", "float": "a number", "array": "a list",
          "object": "a mapping of keys to values"}  # fmt: skip


def _mismatch(value: Any, kind: Any, message: str) -> Mismatch:
    """msgspec's message in our words, with a mapping's keys, for which its path has only `[...]`."""
    text, at, place = message.rpartition(" - at ")  # "Expected `int`, got `str` - at `$.variants[...].gpus`"
    if not at:
        text, place = message, ""
    keys: list[str | int] = []
    for segment in _SEGMENT.finditer(place.partition("$")[2]):
        if name := segment["name"]:
            kind = next(get_type_hints(each, include_extras=True)[name] for each in _options(kind) if _fields(each))
            key = name
        elif segment["index"] == "...":
            kind = next(get_args(each)[-1] for each in _options(kind) if get_origin(each) is dict)
            key = next(key for key, item in value.items() if not _fits(item, kind))
        else:
            kind = next(get_args(each)[0] for each in _options(kind) if get_origin(each) in (list, tuple))
            key = int(segment["index"])
        keys.append(key)
        value = value[key]
    if place.startswith("`key`"):
        kind = next(get_args(each)[0] for each in _options(kind) if get_origin(each) is dict)
        value = next(key for key in value if not _fits(key, kind))
        keys.append(value)
    return _in_words(value, kind, keys, text)


def _in_words(value: Any, kind: Any, keys: list[str | int], text: str) -> Mismatch:
    name = text.partition("`")[2].rpartition("`")[0]
    if text.startswith("Object missing required field"):
        hints = [get_type_hints(each, include_extras=True)[name] for each in _options(kind) if name in _fields(each)]
        return Mismatch([*keys, name], _description(hints[0]) or "this key, which is missing")
    if text.startswith("Object contains unknown field"):
        names = [name for each in _options(kind) for name in _fields(each)]
        closest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {closest[0]!r}?" if closest else ""
        return Mismatch([*keys, name], f"one of the keys {', '.join(names)}{hint}")
    if described := _description(kind):
        return Mismatch(keys, f"{described}, not {value!r}")
    choices = [str(choice) for each in _options(kind) if get_origin(each) is Literal for choice in get_args(each)]
    if choices and text.startswith("Invalid enum value"):
        return Mismatch(keys, f"one of {', '.join(choices)}, not {value!r}")
    if wanted := re.match("Expected `(.*?)`(, got .*)?$", text):
        words = [_WORDS.get(word, word) for word in wanted[1].removesuffix(" | null").split(" | ")]
        if "object" in wanted[1] and not keys:
            words[-1] += ": " + ", ".join(name for each in _options(kind) for name in _fields(each))
        return Mismatch(keys, " or ".join(words))
    key, colon, expected = text.partition(": ")  # of a __post_init__
    return Mismatch([*keys, key], expected) if colon else Mismatch(keys, f"something else: {text}")


def _members(kind: Any) -> list[Any]:
    """The types of a union, or the type itself."""
    if get_origin(kind) in (Union, types.UnionType):
        return [member for each in get_args(kind) for member in _members(each)]
    return [kind]


def _options(kind: Any) -> list[Any]:
    """As `_members`, without annotations."""
    return [get_args(each)[0] if get_origin(each) is Annotated else each for each in _members(kind)]


def _fields(kind: Any) -> list[str]:
    """The names of a record's fields; none of any other type."""
    return [each.name for each in fields(kind)] if is_dataclass(kind) else list(getattr(kind, "__struct_fields__", ()))


def _description(kind: Any) -> str | None:
    """What a msgspec.Meta in the type says that it holds."""
    metas = [meta for each in _members(kind) if get_origin(each) is Annotated for meta in each.__metadata__]
    return next((meta.description for meta in metas if isinstance(meta, msgspec.Meta) and meta.description), None)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


# -- YAML --------------------------------------------------------------------------------------------------------------

TEXT = "text"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class YamlFile:
    """One file's content, and the lines of its keys."""

    def __init__(self, path: Path):
        """Raises FileNotFoundError; UserError for what cannot be read, is no YAML, or has a key twice."""
        self.path = path
        self._values: dict[int, Any] = {}  # by node: an anchor is read once
        try:
            content = path.read_bytes()
            self._loader = yaml.SafeLoader(content.decode("utf-8"))
            self._root = self._loader.get_single_node()
            self.content = without_halves(self._value(self._root, ())) if self._root else None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise UserError(f"{path}:{line}: not valid YAML: expected text in UTF-8") from None
        except RecursionError:
            raise UserError(f"{path}:1: not valid YAML: nested too deeply") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UserError(f"{path}:{line}: not valid YAML: {error.problem}") from None
        except yaml.reader.ReaderError as error:
            line = content.decode("utf-8").count("\n", 0, error.position) + 1
            raise UserError(f"{path}:{line}: not valid YAML: {error.reason}") from None

    def convert(self, kind: type[T], see: str = "") -> T:
        """The content as `kind`, see reading.convert. Raises UserError, which ends with the page `see`."""
        try:
            return convert(self.content, kind)
        except Mismatch as error:
            raise self.error(error.keys, error.expected, see) from None

    def error(self, keys: Sequence[str | int], expected: str, see: str = "") -> UserError:
        """What to raise for the value that `keys` lead to, or for a key that is missing or should not be there."""
        _, node = self._at(keys)
        if expected == TEXT and node and node.tag in NUMBERS:
            expected += f' (write it in quotes: "{node.value}")'
        return UserError(f"{self.line(keys)}: {Mismatch(keys, expected)}{f'; see {see}' if see else ''}")

    def line(self, keys: Sequence[str | int]) -> str:
        """FILE:LINE of the key that `keys` lead to; of what it is missing in, where it is not there."""
        key, node = self._at(keys)
        first = key or node  # a block value begins a line below its key
        return f"{self.path}:{first.start_mark.line + 1 if first else 1}"

    def _at(self, keys: Sequence[str | int]) -> tuple[yaml.Node | None, yaml.Node | None]:
        """(key, value) nodes. The key is None at the top and in a list, and where the last of `keys` is missing."""
        name, node = None, self._root
        for key in keys:
            if isinstance(node, yaml.MappingNode):
                pairs = [pair for pair in node.value if pair[0].value == key]
                if not pairs:
                    return None, node
                name, node = pairs[-1]
            elif isinstance(node, yaml.SequenceNode):
                name, node = None, node.value[key]
        return name, node

    def _value(self, node: yaml.Node, keys: tuple[str | int, ...]) -> Any:
        """The value of `node`: plain types only, keys as text."""
        if id(node) not in self._values:
            if not isinstance(node, yaml.ScalarNode) and node.tag not in PLAIN:
                raise self.error(keys, f"a plain value, not one tagged {node.tag}")
            if isinstance(node, yaml.MappingNode):
                self._values[id(node)] = self._mapping(node, keys)
            elif isinstance(node, yaml.SequenceNode):
                self._values[id(node)] = [self._value(item, (*keys, n)) for n, item in enumerate(node.value)]
            else:
                try:
                    self._values[id(node)] = self._loader.construct_object(node)
                except (yaml.YAMLError, ValueError):  # ValueError: an invalid date
                    raise self.error(keys, f"a plain value, not one tagged {node.tag}") from None
        return self._values[id(node)]

    def _mapping(self, node: yaml.MappingNode, keys: tuple[str | int, ...]) -> dict[str, Any]:
        names: set[str] = set()
        for name, _ in node.value:
            where = f"{self.path}:{name.start_mark.line + 1}"
            if not isinstance(name, yaml.ScalarNode):
                raise UserError(f"{where}: {Mismatch(keys, 'plain text as a key')}")
            if name.value in names:
                raise UserError(f"{where}: {Mismatch((*keys, name.value), 'each key once')}")
            names.add(name.value)
        self._loader.flatten_mapping(node)  # merges what `<<` names
        return {name.value: self._value(value, (*keys, name.value)) for name, value in node.value}
