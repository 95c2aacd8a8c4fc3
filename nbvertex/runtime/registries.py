"""Tables that libraries keep in their modules, changed by cells or by functions that cells call: found, and set again."""

from __future__ import annotations

import abc
import ast
import codecs
import importlib.machinery
import opcode
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from . import definitions, modules, tables
from .sources import VERBS, Code, resolve

_BETTER = {
    "@in:sklearn._config": "@sklearn.options",
    "@in:torch._tensor_str": "@torch.print",
}  # told better there
_STORE = opcode.opmap["STORE_ATTR"]
_OF_OTHERS = frozenset(  # what is carried elsewhere, or is nobody's business
    "numpy random decimal os posixpath sys builtins locale warnings gc signal threading time IPython __main__ atexit asyncio "
    "pandas._config matplotlib.pyplot importlib linecache re typing functools nbvertex nbvertex_runtime".split()
)


# ------------------------------------------------------------------------------------ which modules may be changed


@dataclass
class Wanted:
    """The modules that the code of a step may change, with the functions of them that it calls."""

    modules: dict[str, set[str]] = field(default_factory=dict)

    def add(self, path: str, function: str = "") -> None:
        """One more: all modules that a dotted path leads through."""
        parts = path.split(".")
        names = [".".join(parts[: number + 1]) for number in range(len(parts))]
        if not tables.OWN.isdisjoint(parts) or any(name in _OF_OTHERS for name in names):
            return
        for number, name in enumerate(names):
            calls = self.modules.setdefault(name, set())
            calls.add(".".join([*parts[number + 1 :], function]).strip("."))


def wanted(code: Code, namespace: Mapping[str, Any]) -> Wanted:
    """What the code of a step stores in libraries, and what it calls that sounds like it."""
    found = Wanted()
    functions = [
        one for value in namespace.values() for one in _functions_of(value) if _changes_something(one)
    ]
    if not code.changes and not functions:
        return found
    known = _Known(namespace)
    for node in code.imports:
        known.imports(node)
    for expression, call in code.changes:
        path = known.path(expression)
        if path and call:
            module, _, name = path.rpartition(".")
            found.add(module, name)
        elif path:
            found.add(path)
    for function in functions:
        for module, name in _reached(function):
            found.add(module, name)
    return found


def _functions_of(value: Any) -> Iterable[Any]:
    """A function, those of a class of the notebook's or of an instance of one, those of an own module."""
    if type(value) is types.FunctionType:
        return (value,)
    if isinstance(value, types.ModuleType):
        return vars(value).values() if modules.is_own(value) else ()
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__ != "__main__":
        return (value.__func__,) if type(value) is types.MethodType else ()
    return [getattr(one, "__func__", one) for cls in kind.__mro__ for one in vars(cls).values()]


def _reached(function: types.FunctionType) -> Iterator[tuple[str, str]]:
    """The modules that a function's names lead to, and the functions of them that it may call to change something."""
    names = function.__code__.co_names
    for name in names:
        value = function.__globals__.get(name, sys.modules.get(name))
        if isinstance(value, types.ModuleType):
            if _STORE in function.__code__.co_code[::2]:
                yield value.__name__, ""
            yield from ((value.__name__, one) for one in names if VERBS.match(one) and hasattr(value, one))
        elif isinstance(value, types.FunctionType | types.BuiltinFunctionType | type) and (
            value.__module__ not in (None, "__main__", "builtins")
        ):
            yield value.__module__, value.__name__


def _changes_something(value: Any) -> bool:
    return type(value) is types.FunctionType and any(map(VERBS.match, value.__code__.co_names))


def _is_others(name: str) -> bool:
    """Is the module, or one that it lies in, none of ours to look at?"""
    parts = name.split(".")
    return any(".".join(parts[: number + 1]) in _OF_OTHERS for number in range(len(parts)))


class _Known:
    """What the names of a step's code stand for, as dotted paths of libraries."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.names: dict[str, str] = {}
        for name, value in namespace.items():
            if isinstance(value, types.ModuleType):
                self.names[name] = value.__name__
            elif isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
                module = value.__module__
                if module and module not in ("__main__", "builtins"):
                    self.names[name] = f"{module}.{value.__name__}"

    def imports(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self.names[alias.asname or top] = alias.name if alias.asname else top
        elif node.module and not node.level:
            for alias in node.names:
                self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def path(self, node: ast.expr) -> str:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.names:
            return ""
        return ".".join([self.names[node.id], *reversed(parts)])


# --------------------------------------------------------------------------------------------------- over a step


_ERROR_NAMES = re.compile(r"""register_error\(\s*["']([^"']+)["']""")


class Registries:
    """The tables of libraries, as one step finds and leaves them."""

    def __init__(self) -> None:
        self._code = Code()
        self._errors: dict[str, Any] = {}  # error handlers of codecs
        self._classes: list[
            tuple[type, list[type]]
        ] = []  # abstract classes, and what is registered with them
        self._pending: dict[str, list[tables.Change]] = {}  # of modules that are not imported yet
        self._applied: dict[str, list[tables.Change]] = {}
        self._wanted = Wanted()
        self._seen: dict[str, tables.Snapshot] = {}

    def apply(self, values: Mapping[str, Any]) -> None:
        """Set what earlier steps left, in modules that are there; in others, when they are imported."""
        for name, changes in values.items():
            if name.startswith("@in:") and _BETTER.get(name) not in values:
                self._pending[name.removeprefix("@in:")] = changes
        for name in list(self._pending):
            if name in sys.modules:
                self._imported(name)
        self._errors = values.get("@codecs", {})
        for name, handler in self._errors.items():
            codecs.register_error(name, handler)
        self._classes = values.get("@abc", [])
        for abstract, classes in self._classes:
            for cls in classes:
                abc.ABCMeta.register(cast(abc.ABCMeta, abstract), cls)

    def take_baseline(self, code: Code, namespace: Mapping[str, Any]) -> None:
        """Remember the tables of the modules that the step may change."""
        self._code = code
        self._wanted = wanted(code, namespace)
        for name in list(self._wanted.modules):
            if name in sys.modules:
                self._look(name, sys.modules[name])
        later = {name for name in (*self._wanted.modules, *self._pending) if name not in sys.modules}
        if later:
            sys.meta_path.insert(0, _Herald(later, self._imported))

    def _imported(self, name: str) -> None:
        changes = self._pending.pop(name, None)
        if changes is not None:
            tables.put(sys.modules[name], changes)
            self._applied[name] = changes
        for one in list(self._wanted.modules):  # what was prepared together comes together
            if one in sys.modules:
                self._look(one, sys.modules[one])

    def _look(self, name: str, module: types.ModuleType) -> None:
        if name in self._seen:
            return
        self._seen[name] = tables.Snapshot.of(module)
        if modules.is_own(module):
            paths = {path for f in _functions_of(module) if _changes_something(f) for path in _reached(f)}
            reached = Wanted()
            for path, function in paths:
                reached.add(path, function)
            for one in reached.modules:
                self._wanted.modules.setdefault(one, set()).update(reached.modules[one])
                if one in sys.modules:
                    self._look(one, sys.modules[one])
        for function in self._wanted.modules[name]:  # what it changes lies where it is defined
            home = _home(module, function)
            if home and home not in self._seen and home in sys.modules and not _is_others(home):
                self._seen[home] = tables.Snapshot.of(sys.modules[home])

    def changed(self, text: str, namespace: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
        """What the step left otherwise than it found it.

        Args:
            text: the step's cells.
            namespace: the names it leaves.
            others: what is carried anyhow: attributes that cells have set themselves.
        """
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not _Herald]
        found: dict[str, Any] = {}
        for name, snapshot in self._seen.items():
            changes = [_without(change, name, others) for change in snapshot.changes()]
            changes = [change for change in changes if change[2] or change[3] or change[1] != "items"]
            if changes:
                tables.note(changes)
                found[f"@in:{name}"] = tables.merged(self._applied.get(name, ()), changes)
        if errors := _ERROR_NAMES.findall(text):
            found["@codecs"] = self._errors | {name: codecs.lookup_error(name) for name in errors}
        if classes := list(self._registered(namespace)):
            known = [one for one in self._classes if all(one[0] is not abstract for abstract, _ in classes)]
            found["@abc"] = [*known, *classes]
        return found

    def _registered(self, namespace: Mapping[str, Any]) -> Iterator[tuple[type, list[type]]]:
        """The abstract classes of libraries with which the cells have registered classes."""
        asked = [
            node.value
            for node, _ in self._code.changes
            if isinstance(node, ast.Attribute) and node.attr == "register"
        ]
        for abstract in {id(found): found for found in (resolve(node, namespace) for node in asked)}.values():
            if isinstance(abstract, abc.ABCMeta) and definitions.is_importable(abstract):
                classes = [ref() for ref in abc._get_dump(abstract)[0]]  # type: ignore[attr-defined]
                yield abstract, [cls for cls in classes if cls is not None and cls.__module__ == "__main__"]


def _without(change: tables.Change, module: str, others: Mapping[str, Any]) -> tables.Change:
    path, kind, contents, gone = change
    if path or kind != "items":
        return change
    return path, kind, {k: v for k, v in contents.items() if f"@on:{module}:{k}" not in others}, gone


def _home(module: types.ModuleType, path: str) -> str | None:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    code = getattr(value, "__globals__", None) or getattr(
        getattr(value, "__func__", None), "__globals__", None
    )
    home = code.get("__name__") if code else getattr(value, "__module__", None)
    return home if isinstance(home, str) else None


class _Herald:
    """A finder that tells when certain modules have been imported, and leaves the finding to the others."""

    def __init__(self, names: set[str], tell: Callable[[str], None]) -> None:
        self._names = names
        self._tell = tell

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the import system asks."""
        if name not in self._names:
            return None
        self._names.discard(name)
        spec = None
        for finder in sys.meta_path:
            if finder is not self and spec is None and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
        loader: Any = spec.loader if spec is not None else None
        if hasattr(loader, "__dict__") and not isinstance(loader, type):
            execute = loader.exec_module

            def executed(module: types.ModuleType) -> None:
                del loader.exec_module
                execute(module)
                self._tell(name)

            loader.exec_module = executed
        return spec
