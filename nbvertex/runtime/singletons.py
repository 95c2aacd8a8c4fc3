"""Objects that a library holds in one of its modules: they travel as module and name, so that `is` still holds."""

from __future__ import annotations

import sys
from typing import Any

_known: dict[str, tuple[int, dict[int, str]]] = {}
_put_there: dict[int, Any] = {}  # objects that came there since: another process does not find them


def find(obj: Any) -> tuple[str, str] | None:
    """The module and the name there under which a library keeps this very object, or None.

    Only the module that defines the object's class is looked through: ``dataclasses.MISSING``,
    ``random._inst``, ``numpy.random.mtrand._rand``, ``os.environ`` are found this way.
    """
    module = type(obj).__module__
    if module in {"__main__", "builtins"}:
        return None
    name = _names(module).get(id(obj)) if id(obj) not in _put_there else None
    if name is None or vars(sys.modules[module]).get(name) is not obj:
        return None
    return module, name


def put_there(obj: Any) -> None:
    """A library holds this object because of what cells have done."""
    _put_there[id(obj)] = obj


def get(module: str, name: str) -> Any:
    """The object that `find` found."""
    import importlib

    return getattr(importlib.import_module(module), name)


def _names(module: str) -> dict[int, str]:
    found = sys.modules.get(module)
    if found is None:
        return {}
    contents = vars(found)
    size, names = _known.get(module, (-1, {}))
    if size != len(contents):
        names = {id(value): name for name, value in contents.items()}
        _known[module] = (len(contents), names)
    return names
