"""Lazy imports, for a command line that is only completed or explained."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Postponed(ModuleType):
    """Stands in for a module until one of its attributes is read."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
        module = import_module(self.__name__)
        self.__dict__.update(vars(module))
        return getattr(module, name)


def postpone(*names: str) -> None:
    """Delay the import of these modules until their first use.

    Not for a command that starts threads or measures: the import would happen at an arbitrary moment.
    """
    for name in names:
        sys.modules.setdefault(name, _Postponed(name))
