"""What cells have put something else in the place of: the originals, by module and name."""

from __future__ import annotations

import builtins
import sys
import types
from typing import Any

of_builtins: dict[str, Any] = {}  # as they are when IPython has put its own names there
_originals: dict[tuple[str, str], Any] = {}


def note_builtins() -> None:
    """Call once in the warm process, before any cell."""
    of_builtins.update(vars(builtins))


def remember(module: types.ModuleType, name: str) -> None:
    """An attribute of a module is about to be replaced."""
    if hasattr(module, name):
        _originals.setdefault((module.__name__, name), getattr(module, name))


def find(function: types.BuiltinFunctionType) -> tuple[str, str] | None:
    """Module and name of a compiled function that is not to be found there any more."""
    owner, name = function.__self__, function.__name__
    if not isinstance(owner, types.ModuleType) or getattr(owner, name, None) is function:
        return None
    if getattr(sys.modules.get(function.__module__ or ""), name, None) is function:
        return None
    return owner.__name__, name


def original(module: str, name: str) -> Any:
    """What `find` found."""
    import importlib

    if module == "builtins":
        return of_builtins[name]
    known = _originals.get((module, name))
    return known if known is not None else getattr(importlib.import_module(module), name)
