"""Modules as state: what cells imported, attributes set on modules and library classes, data of the user's own modules."""

from __future__ import annotations

import ast
import contextlib
import importlib.machinery
import io
import marshal
import os
import site
import struct
import sys
import sysconfig
import types
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import carried, definitions, pickler, replaced
from .sources import Code, resolve

_DUNDERS = frozenset(
    {
        "__builtins__",
        "__cached__",
        "__doc__",
        "__file__",
        "__loader__",
        "__name__",
        "__package__",
        "__path__",
        "__spec__",
    }
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What is imported again prints and warns no second time."""
    import warnings

    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    try:
        with warnings.catch_warnings(), _quiet_descriptors():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout, sys.stderr = out, err


@contextlib.contextmanager
def _quiet_descriptors() -> Iterator[None]:
    """Libraries in C write past Python's streams."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        yield
    finally:
        for number, own in zip((1, 2), kept, strict=True):
            os.dup2(own, number)
            os.close(own)
        os.close(nowhere)


class _Gone:
    """Stands for an attribute that has been deleted."""


GONE = _Gone()


@dataclass
class Modules:
    """The modules of one step, as it finds and leaves them."""

    imported: list[str] = field(default_factory=list)
    sources: dict[str, tuple[str, str | bytes]] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    before: dict[str, pickler.Dump | None] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)  # own modules whose source cannot be read any more

    def apply(self, values: dict[str, Any]) -> None:
        """Import again what earlier steps imported from the user's own files, and set what was set on modules."""
        _witness.begin()
        if "@modules" in values:
            self.sources = dict(values["@modules"])
            with quiet():
                for name, (path, source) in self.sources.items():
                    _bring_back(name, path, source)
        self.imported = list(values.get("@imports", self.imported))
        for name, value in values.items():
            if name.startswith("@on:"):
                self.attributes[name] = value
                _set_attribute(name.removeprefix("@on:"), value)

    def import_again(self, imported: list[str], wanted: list[str], bound: list[str]) -> None:
        """Import silently what Run All would have by now.

        Args:
            imported: modules that cells of earlier steps imported.
            wanted: modules that the step's own cells import once more.
            bound: modules that its names hold; their submodules that were imported come with them.
        """
        roots = {name.partition(".")[0] for name in [*wanted, *bound]}
        with quiet():
            for name in imported:
                if name in wanted or ("." in name and name.partition(".")[0] in roots):
                    with contextlib.suppress(Exception):  # the cell itself will say what is wrong with it
                        __import__(name)

    def take_baseline(self) -> None:
        """Remember the data of the user's own modules."""
        self.before = {}
        for key, value in _own_data():
            self.before[key] = _dump(value)

    def changed(self, code: Code, namespace: dict[str, Any], reloaded: Collection[str]) -> dict[str, Any]:
        """What the step imported and set.

        Args:
            code: of its cells.
            namespace: the names it leaves.
            reloaded: own modules that are what their files say now, whatever they were when they were imported.
        """
        found: dict[str, Any] = {}
        removed = {name for name in self.sources if name not in sys.modules}
        imported = sorted({*self.imported, *_imported(code)} - removed)
        if imported != sorted(self.imported):
            found["@imports"] = imported
        found.update({n: GONE for n in self.attributes if n[len("@on:") :].partition(":")[0] in removed})
        mine = self._own_sources(reloaded)
        if mine != self.sources:
            found["@modules"] = mine
        for key, value in _own_data():
            now = _dump(value)
            if now is None:
                if self.before.get(key) is not None:
                    found[f"@on:{key}"] = value  # changed to what cannot travel: heap refuses it by name
            elif key not in self.before or not _equal(now, self.before[key]):
                found[f"@on:{key}"] = value
        for key, value in (*_set_by_cells(code, namespace), *_put_on_classes()):
            found[f"@on:{key}"] = value
        return found

    def _own_sources(self, current: Collection[str]) -> dict[str, tuple[str, str | bytes]]:
        """The source of every own module as it was imported: its text, or its compiled form where only that is left."""
        found = {name: kept for name, kept in self.sources.items() if name in sys.modules}
        for name, module in own_modules():
            path = str(module.__file__)
            if name in current:
                source = _source(module, path, current=True)
            elif name in _witness.sources:
                source = _witness.sources[name]
            elif name in found:
                continue
            else:
                source = _source(module, path, current=False)
            if source is None:
                self.lost.append(name)
            else:
                found[name] = (path, source)
        return found


def _source(module: types.ModuleType, path: str, *, current: bool) -> str | bytes | None:
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as file:
        text = file.read()
        if current or not _rewritten(module, path):
            return text
    compiled = str(getattr(module, "__cached__", ""))
    with contextlib.suppress(OSError), open(compiled, "rb") as file:
        return bytes(file.read()[_HEAD:])
    return None


class _Witness:
    """A finder that sees what the user's own modules hold when they are imported."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the import system asks."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        origin = spec.origin if spec is not None else None
        if origin is not None and origin.endswith(".py") and not origin.startswith(installed_folders()):
            with contextlib.suppress(OSError, UnicodeDecodeError), open(origin, encoding="utf-8") as file:
                self.sources[name] = file.read()
        return spec

    def begin(self) -> None:
        """See from now on."""
        if self in sys.meta_path:
            return
        at = next((n for n, one in enumerate(sys.meta_path) if one is importlib.machinery.PathFinder), 0)
        sys.meta_path.insert(at, self)


_witness = _Witness()  # one for a process: warm ones hand it on


_HEAD = 16  # bytes of a compiled module before its code


def _rewritten(module: types.ModuleType, path: str) -> bool:
    """Is the file another than the one that was imported? Its compiled form says what that one was."""
    compiled = getattr(module, "__cached__", None)
    if not isinstance(compiled, str) or not os.path.exists(compiled):
        return False
    with open(compiled, "rb") as file:
        head = file.read(_HEAD)
    if len(head) < _HEAD:
        return False
    flags, time, size = struct.unpack("<4xIII", head)  # PEP 552
    now = os.stat(path)
    return flags == 0 and (time, size) != (int(now.st_mtime) & 0xFFFFFFFF, now.st_size & 0xFFFFFFFF)


def _equal(a: pickler.Dump, b: pickler.Dump | None) -> bool:
    return (
        b is not None
        and a.stream == b.stream
        and [bytes(x.raw()) for x in a.buffers] == [bytes(x.raw()) for x in b.buffers]
    )


def _dump(value: Any) -> pickler.Dump | None:
    try:
        return pickler.dump([value], {}, ())
    except carried.CannotTravel:
        return None


_installed: tuple[str, ...] | None = None


_CALLED = ("site-packages", "dist-packages")


def installed_folders() -> tuple[str, ...]:
    """Where packages that are installed lie; everything else is the user's own."""
    global _installed
    if _installed is None:
        paths = {os.path.realpath(p) for p in sysconfig.get_paths().values() if p}
        paths |= {os.path.realpath(p) for p in [*site.getsitepackages(), site.getusersitepackages()]}
        paths.add(os.path.realpath(os.path.dirname(os.__file__)))
        paths |= {os.path.realpath(p) for p in sys.path if os.path.basename(p) in _CALLED}
        own = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        scripts = os.path.realpath(sysconfig.get_path("scripts"))
        data = os.path.realpath(sysconfig.get_path("data"))
        _installed = tuple(sorted(p + os.sep for p in (paths | {own}) - {scripts, data}))
    return _installed


def is_own(module: types.ModuleType) -> bool:
    """Is it the user's own, in a file?"""
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and path.endswith(".py") and not path.startswith(installed_folders())


def own_modules() -> Iterator[tuple[str, types.ModuleType]]:
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py") or name.startswith("nbvertex"):
            continue
        if name in _SITES:
            continue
        if name not in _verdicts:
            _verdicts[name] = not (
                os.path.realpath(path).startswith(installed_folders()) or _is_made_up(module)
            )
        if _verdicts[name]:
            yield name, module


_verdicts: dict[str, bool] = {}
_SITES = ("sitecustomize", "usercustomize")  # Python's own start in an environment, wherever they lie


def _is_made_up(module: types.ModuleType) -> bool:
    """An object that an installed package puts among the modules, as `torch.ops`, with a file name of its own."""
    top = getattr(sys.modules.get(module.__name__.partition(".")[0]), "__file__", None)
    if getattr(module, "__spec__", None) is not None or not isinstance(top, str):
        return False
    return os.path.realpath(top).startswith(installed_folders())


def _own_data() -> Iterator[tuple[str, Any]]:
    """``module.name`` and value of every piece of data in the user's own modules and their classes."""
    for name, module in own_modules():
        for attribute, value in list(vars(module).items()):
            if attribute in _DUNDERS or isinstance(
                value, types.ModuleType | types.FunctionType | types.BuiltinFunctionType
            ):
                continue
            if isinstance(value, type):
                if value.__module__ == name:
                    yield from _class_data(f"{name}:{value.__qualname__}", value)
            else:
                yield f"{name}:{attribute}", value


def _class_data(prefix: str, cls: type) -> Iterator[tuple[str, Any]]:
    for attribute, value in list(vars(cls).items()):
        if attribute.startswith("__") or hasattr(value, "__get__") or isinstance(value, type):
            continue
        yield f"{prefix}.{attribute}", value


def _bring_back(name: str, path: str, source: str | bytes) -> None:
    if name in sys.modules:
        return
    try:
        with open(path, encoding="utf-8") as file:
            same = file.read() == source
    except (OSError, UnicodeDecodeError):
        same = False
    if same:
        with contextlib.suppress(Exception):  # another working folder, say: then from the source
            __import__(name)
    if name not in sys.modules:
        with contextlib.suppress(Exception):  # what it does on its own account shows when a cell uses it
            _from_source(name, path, source)


def _from_source(name: str, path: str, source: str | bytes) -> None:
    """The module as it was when it was imported; its file has changed or gone since."""
    module = types.ModuleType(name)
    module.__file__ = path
    if os.path.basename(path) == "__init__.py":
        module.__path__ = [os.path.dirname(path)]
    module.__package__ = name if hasattr(module, "__path__") else name.rpartition(".")[0]
    sys.modules[name] = module
    exec(marshal.loads(source) if isinstance(source, bytes) else compile(source, path, "exec"), vars(module))
    parent, _, last = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], last, module)


_EXTENDED = {"pandas": ("DataFrame", "Series", "Index")}  # classes that libraries let users extend by a call


def _put_on_classes() -> Iterator[tuple[str, Any]]:
    """What cells, or calls like ``tqdm.pandas()``, have put on classes of libraries."""
    for package, names in _EXTENDED.items():
        for cls in (getattr(sys.modules.get(package), name, None) for name in names):
            if isinstance(cls, type):
                foreign = [(n, v) for n, v in list(vars(cls).items()) if _is_foreign(v, package)]
                yield from ((f"{cls.__module__}:{cls.__qualname__}.{name}", value) for name, value in foreign)
                if foreign and "_accessors" in vars(cls):
                    yield f"{cls.__module__}:{cls.__qualname__}._accessors", vars(cls)["_accessors"]


def _is_foreign(value: Any, package: str) -> bool:
    made = getattr(value, "_accessor", None) or value
    if not isinstance(made, type | types.FunctionType):
        return False
    root = str(made.__module__).partition(".")[0]
    return root == "__main__" or (root != package and "<locals>" in made.__qualname__)


def _imported(code: Code) -> set[str]:
    found: set[str] = set()
    for node in code.imports:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name in sys.modules}


def _set_by_cells(code: Code, namespace: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Attributes that the cells' code stores on modules and on classes of libraries."""
    seen: set[str] = set()
    for owner, attribute in code.stores:
        obj = resolve(owner, namespace)
        key = _owner_key(obj, attribute)
        if key is None or key in seen:
            continue
        seen.add(key)
        if attribute in vars(obj):
            yield key, vars(obj)[attribute] if isinstance(obj, type) else getattr(obj, attribute)
        else:
            yield key, GONE


def _owner_key(obj: Any, attribute: str) -> str | None:
    if (
        isinstance(obj, types.ModuleType)
        and obj is not sys.modules.get("__main__")
        and sys.modules.get(obj.__name__) is obj
    ):
        if (
            attribute.startswith("__")
            or obj.__name__ == "builtins"
            or (obj.__name__, attribute) in _ELSEWHERE
        ):
            return None
        return f"{obj.__name__}:{attribute}"
    if isinstance(obj, type) and definitions.is_importable(obj) and obj.__flags__ & (1 << 9):
        return f"{obj.__module__}:{obj.__qualname__}.{attribute}"
    return None


_ELSEWHERE = {("sys", "path"), ("os", "environ"), ("sys", "stdout"), ("sys", "stderr"), ("sys", "stdin")}


def _set_attribute(key: str, value: Any) -> None:
    module, _, path = key.partition(":")
    if value is GONE and module not in sys.modules:
        return
    with quiet():
        owner = definitions.import_module(module)
    *outer, last = path.split(".")
    target: Any = owner
    for part in outer:
        target = getattr(target, part)
    if target is owner:
        replaced.remember(owner, last)
    if value is not GONE:
        setattr(target, last, value)
    elif last in vars(target):
        delattr(target, last)
