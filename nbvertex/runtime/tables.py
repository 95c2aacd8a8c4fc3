"""What a module keeps in tables: looked at twice to tell what has changed, and changed in another process as it was here."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import definitions, singletons

Path = tuple[Any, ...]
Change = tuple[Path, str, Any, tuple[Any, ...]]
"""Where in the module, what is there (``items``, ``list`` or ``set``), its new contents, keys that are gone."""

OWN = frozenset(
    {"_handlers", "_handlerList", "root", "rcParams", "rcParamsDefault", "rcParamsOrig", "options"}
)
"""Names of what is carried elsewhere."""

_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_DEEPEST = 3
_MOST = 20_000  # items of one module that are looked at


@dataclass
class Snapshot:
    """What the tables of a module held.

    Args:
        contents: where each table is -> the table, and a copy of it.
    """

    contents: dict[Path, tuple[Any, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, module: types.ModuleType) -> Snapshot:
        """Look at a module now."""
        made = cls()
        made._look((), module, 0)
        return made

    def _look(self, path: Path, table: Any, depth: int) -> None:
        copy = _copy(table)
        if copy is None or len(self.contents) > _MOST or len(copy) > _MOST:
            return
        if copy or depth < _DEEPEST:
            self.contents[path] = (table, copy)
        if depth < _DEEPEST and not isinstance(copy, set):
            for key, value in copy.items() if isinstance(copy, dict) else enumerate(copy):
                if _is_table(value) and not (type(key) is str and _is_private(key)):
                    self._look((*path, key), value, depth + 1)

    def changes(self) -> list[Change]:
        """What is otherwise now."""
        found: list[Change] = []
        for path, (table, copy) in self.contents.items():
            now = _copy(table)
            if isinstance(now, dict):
                changed = {k: v for k, v in now.items() if k not in copy or not _same(v, copy[k])}
                gone = tuple(key for key in copy if key not in now and _inside(table, key) is None)
                changed |= {k: _inside(table, k) for k in copy if k not in now and k not in gone}
                changed = {k: v for k, v in changed.items() if not (type(k) is str and _is_private(k))}
                if changed or gone:
                    found.append((path, "items", changed, gone))
            elif now is not None and (len(now) != len(copy) or not all(map(_same, now, copy))):
                found.append((path, type(now).__name__, now, ()))
        return found


def _copy(table: Any) -> Any:
    """A shallow copy of what is in a table; None where it is none."""
    kind = type(table)
    if issubclass(kind, dict):
        return dict.copy(table)
    if kind in (list, tuple):
        return list(table)
    if kind is set:
        return set(table)
    if kind is types.ModuleType:
        return {k: v for k, v in vars(table).items() if _may_go(v)}
    if not _is_table(table):
        return None
    with contextlib.suppress(Exception):  # whatever a strange object's own code raises
        slots = {s: getattr(table, s) for c in kind.__mro__ for s in _slots(c) if hasattr(table, s)}
        return {**getattr(table, "__dict__", {}), **slots}
    return None


def _slots(cls: type) -> Iterable[str]:
    slots = vars(cls).get("__slots__", ())
    return [slots] if isinstance(slots, str) else [s for s in slots if not s.startswith("__")]


def _is_table(value: Any) -> bool:
    """Is it a container, or a library's own object that may hold some?"""
    kind = type(value)
    if kind in _SCALARS or issubclass(kind, type | types.ModuleType):
        return False
    if issubclass(kind, dict) or kind in (list, set, tuple):
        return True
    return kind.__module__ not in _NO_TABLES or kind.__name__ == "_local"


_NO_TABLES = (
    "builtins",
    "functools",
    "types",
    "typing",
    "re",
    "_thread",
    "weakref",
    "_weakrefset",
    "numpy",
    "logging",
    "enum",
    "abc",
)


def _is_private(name: str) -> bool:
    return name.startswith("__") or "cache" in name.lower() or name in OWN


def _may_go(value: Any) -> bool:
    """Modules that are loaded later, and the functions that come from them, are no change."""
    if isinstance(value, types.ModuleType):
        return False
    return not (isinstance(value, type | types.FunctionType) and definitions.is_importable(value))


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) in _SCALARS and one == other)


# ------------------------------------------------------------------------------------------------ setting it again


def merged(old: Iterable[Change], new: Iterable[Change]) -> list[Change]:
    """Changes one after the other, as one."""
    found: dict[Path, Change] = {change[0]: change for change in old}
    for path, kind, contents, gone in new:
        before = found.get(path)
        if before is not None and kind == "items":
            contents = {k: v for k, v in before[2].items() if k not in gone} | contents
            gone = tuple(k for k in dict.fromkeys([*before[3], *gone]) if k not in contents)
        found[path] = (path, kind, contents, gone)
    return list(found.values())


def note(changes: Iterable[Change]) -> None:
    for _, kind, contents, _ in changes:
        for value in contents.values() if kind == "items" else contents:
            singletons.put_there(value)


def put(module: types.ModuleType, changes: Sequence[Change]) -> None:
    """Change a module's tables in place, as the cells did."""
    note(changes)
    for path, kind, contents, gone in changes:
        table: Any = module
        for key in path:
            table = _inside(table, key)
        if table is None:
            continue
        if kind == "list":
            table[:] = contents
        elif kind == "set":
            table.clear()
            table.update(contents)
        else:
            _put_items(table, contents, gone)


def _inside(table: Any, key: Any) -> Any:
    if isinstance(table, dict):
        return table.get(key)
    if isinstance(table, list | tuple):
        return table[key] if key < len(table) else None
    return getattr(table, key, None)


def _put_items(table: Any, contents: dict[Any, Any], gone: Iterable[Any]) -> None:
    for key in gone:
        if isinstance(table, dict):
            table.pop(key, None)
        elif hasattr(table, key):
            delattr(table, key)
    own = table if isinstance(table, dict) else getattr(table, "__dict__", {})
    slots = {slot for cls in type(table).__mro__ for slot in _slots(cls)}
    for key, value in contents.items():
        if key in slots:
            object.__setattr__(table, key, value)
        else:
            dict.__setitem__(own, key, value)
