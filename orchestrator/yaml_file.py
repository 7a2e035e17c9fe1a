"""A user's YAML file, or one line that says where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import UserError


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
