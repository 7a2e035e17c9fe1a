"""A YAML file as a declared type; errors name the file, the line, the key and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from orchestrator.base.errors import UserError
from orchestrator.base.reading import Mismatch, convert, without_halves

T = TypeVar("T")
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
                except (yaml.YAMLError, ValueError):  # ValueError: a date that is none
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
