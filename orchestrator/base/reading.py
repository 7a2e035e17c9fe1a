"""Reads untrusted files: size limits, strict JSON and YAML, errors of one line."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from orchestrator.base.errors import UserError

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as escaped in JSON
LARGEST = 2**63  # far above any time, count or size here


class Unreadable(Exception):
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
        value = json.loads(text, parse_constant=_refuse)
        return _without_surrogates(value) if SURROGATE.search(text) else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _without_surrogates(value: Any) -> Any:
    """`value` with U+FFFD for every lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def is_count(value: Any) -> bool:
    """Whether `value` is an integer from 0 to LARGEST; a bool is not."""
    return type(value) is int and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number; a bool is not."""
    return type(value) in (int, float) and abs(value) < LARGEST


def load(path: Path) -> Any:
    """The content of a YAML file. Raises UserError naming file and line; FileNotFoundError."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date
        mark = getattr(error, "problem_mark", None)
        location = f"{path}:{mark.line + 1}" if mark else f"{path}"
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise UserError(f"{location}: not valid YAML: {reason}") from None
