"""Reading files that somebody else wrote: size limits, strict JSON and YAML, errors of one line."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from orchestrator.base.errors import UserError

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON escapes one
LARGEST = 2**63  # no time, count or size of ours comes near


class Unreadable(Exception):
    """The file is not what it should be; the message, one line, begins with its name."""


def read_text(path: Path, limit: int) -> str:
    """The text of a plain file of at most `limit` bytes. Raises Unreadable, FileNotFoundError.

    A link could lead to a file of the host's, and reading a pipe would wait forever.
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
    """JSON without NaN and infinity, and without halves of characters, which no file and no terminal takes.

    Raises ValueError.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
        return _whole(value) if SURROGATE.search(text) else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole(value: Any) -> Any:
    """`value` with a replacement character for every lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return value


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def is_count(value: Any) -> bool:
    """A whole number from 0 on that fits 64 bits; true and false are none."""
    return type(value) is int and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    """A finite number; true and false are none."""
    return type(value) in (int, float) and abs(value) < LARGEST


def load(path: Path) -> Any:
    """The parsed content. Raises UserError naming file and line; FileNotFoundError."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: not valid YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise UserError(f"{where}: not valid YAML: {reason}") from None
