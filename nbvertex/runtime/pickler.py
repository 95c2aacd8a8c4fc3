"""One object to bytes: what it shares, which definitions it refers to and which names it reads come out beside."""

from __future__ import annotations

import enum
import functools
import io
import pickle
import sys
import threading
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import carried, definitions, kinds, sets, singletons


@dataclass(frozen=True, slots=True)
class Dump:
    """What pickling a group of objects gave.

    Args:
        stream: the pickle.
        buffers: the big arrays beside it.
        refs: entry ids of definitions that lie elsewhere.
        free: names that functions in it read when they are called.
        shared: id -> object for everything in it whose identity could be seen.
        fragile: somebody can tell when an object in it dies.
        by_name: something in it goes by a name or in a way of its own: no other format serves.
    """

    stream: bytes
    buffers: tuple[Any, ...]
    refs: frozenset[str]
    free: frozenset[str]
    shared: dict[int, Any]
    by_name: bool = False
    fragile: bool = False


class HeapPickler(pickle.Pickler):
    """Pickles what a notebook holds; functions and classes of the notebook travel by their parts.

    Args:
        file: where the stream goes.
        entries: id of a definition -> the entry that it is.
        own: the entries that are being pickled; others are referred to.
        buffers: filled with the buffers that go beside the stream.
    """

    def __init__(
        self,
        file: io.BytesIO,
        entries: Mapping[int, str],
        own: Collection[str],
        buffers: list[pickle.PickleBuffer],
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffers.append)
        self.entries = entries
        self.own = own
        self.refs: set[str] = set()
        self.free: set[str] = set()
        self.fragile = False
        self.kept: list[Any] = []  # what was made on the way: ids must not be used twice

    def reducer_override(self, obj: Any) -> Any:
        """How an object is taken apart; NotImplemented leaves it to pickle."""
        return kinds.handler(type(obj))(self, obj)

    def refer(self, obj: Any) -> Any:
        """The reduction of a definition that is an entry elsewhere, or None."""
        if not self.is_elsewhere(obj):
            return None
        entry = self.entries[id(obj)]
        self.refs.add(entry)
        return kinds.resolve, (entry,)

    def family(self, cls: type) -> list[str]:
        """The entries of a class's subclasses: whoever has the class has them too."""
        subclasses: list[type] = type.__subclasses__(cls)
        found = [self.entries[id(sub)] for sub in subclasses if id(sub) in self.entries]
        self.refs.update(entry for entry in found if entry not in self.own)
        return found

    def is_elsewhere(self, obj: Any) -> bool:
        """Is this a definition with an entry of its own that is not being pickled now?"""
        entry = self.entries.get(id(obj))
        return entry is not None and entry not in self.own


class ExactPickler(HeapPickler):
    """The slower one: also keeps what the fast one cannot see, objects of built-in types held by modules, and NaN.

    Args:
        held: id -> (module, name) of lists and dicts that modules hold.
        sets: id -> set, for those that would come back in another order.
    """

    def __init__(
        self,
        file: io.BytesIO,
        entries: Mapping[int, str],
        own: Collection[str],
        buffers: list[Any],
        held: Mapping[int, str],
        sets: Mapping[int, sets.AnySet],
    ) -> None:
        super().__init__(file, entries, own, buffers)
        self.held = held
        self.sets = sets
        self.sets_met: dict[int, int] = {}
        self.nans: dict[int, tuple[int, float]] = {}

    def persistent_id(self, obj: Any) -> Any:
        """Names for what pickle would copy."""
        if type(obj) is float and obj != obj:
            number = self.nans.setdefault(id(obj), (len(self.nans), obj))[0]
            return _nan_name(obj) or ("nan", number)
        if id(obj) in self.sets:
            if id(obj) in self.sets_met:
                return "set", (self.sets_met[id(obj)], None, 0, False)
            number = self.sets_met[id(obj)] = len(self.sets_met)
            return "set", (number, *sets.recipe(obj), type(obj) is frozenset)
        name = self.held.get(id(obj))
        return None if name is None else ("held", name)


def _nan_name(nan: float) -> tuple[str, str] | None:
    """NaNs that libraries hold, so that ``x is np.nan`` still says the same."""
    for module in ("numpy", "math"):
        if module in sys.modules and getattr(sys.modules[module], "nan", None) is nan:
            return "nan of", module
    return None


class HeapUnpickler(pickle.Unpickler):
    """Reads what `HeapPickler` and `ExactPickler` wrote."""

    def __init__(self, file: io.BytesIO, buffers: Iterable[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self.nans: dict[int, float] = {}
        self.sets: dict[int, sets.AnySet] = {}

    def persistent_load(self, pid: Any) -> Any:
        """What `ExactPickler.persistent_id` named."""
        kind, value = pid
        if kind == "set":
            number, items, size, frozen = value
            if number not in self.sets:
                self.sets[number] = sets.build(items, size, frozen=frozen)
            return self.sets[number]
        if kind == "nan":
            return self.nans.setdefault(value, float("nan"))
        if kind == "nan of":
            import importlib

            return importlib.import_module(value).nan
        return held_object(value)


def held_object(name: str) -> Any:
    """A list or dict that a module holds (``sys.path``), or the notebook's own namespace."""
    if name == "__main__":
        return definitions.namespace
    import importlib

    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def held_objects() -> dict[int, str]:
    """id -> name of what `held_object` finds."""
    found = {id(definitions.namespace): "__main__"}
    for module, attributes in _HELD.items():
        if module in sys.modules:
            for name in attributes:
                held = getattr(sys.modules[module], name, None)
                if held is not None:
                    found[id(held)] = f"{module}.{name}"
    return found


_HELD = {
    "sys": ("path", "modules", "argv", "meta_path", "path_hooks", "path_importer_cache", "warnoptions"),
    "warnings": ("filters",),
    "argparse": ("SUPPRESS",),  # a text that is compared by identity
    "builtins": ("__dict__",),
}


def dump(objects: list[Any], entries: Mapping[int, str], own: Collection[str]) -> Dump:
    """Pickle a group of objects together.

    Args:
        objects: the roots; in the stream they are one list.
        entries: id -> entry id of the notebook's definitions.
        own: the entry ids of ``objects``.

    Raises:
        carried.CannotTravel: with the kind of thing and a mend.
    """
    made = _attempt(HeapPickler, objects, entries, own)
    held = held_objects()
    unordered = _unordered_sets(objects, made[1].values())
    if unordered or not held.keys().isdisjoint(made[1]) or _has_nan(objects, made[1].values()):
        made = _attempt(functools.partial(ExactPickler, held=held, sets=unordered), objects, entries, own)
    stream, memo, pickler, buffers = made
    shared = {
        key: obj
        for key, obj in memo.items()
        if type(obj) not in _NEVER_SHARED and not pickler.is_elsewhere(obj)
    }
    if isinstance(pickler, ExactPickler):
        shared.update({key: nan for key, (_, nan) in pickler.nans.items()})
    by_name = isinstance(pickler, ExactPickler)
    refs, free = frozenset(pickler.refs), frozenset(pickler.free)
    return Dump(stream, tuple(buffers), refs, free, shared, by_name, pickler.fragile)


def can_travel(obj: Any) -> bool:
    """Would `dump` take it?"""
    try:
        dump([obj], {}, ())
    except carried.CannotTravel:
        return False
    return True


def _attempt(
    make: Callable[..., HeapPickler], objects: list[Any], entries: Mapping[int, str], own: Collection[str]
) -> Any:
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = make(file, entries, own, buffers)
    try:
        pickler.dump(objects)
    except carried.CannotTravel:
        raise
    except RecursionError:
        if sys.getrecursionlimit() >= _DEEPEST:
            raise carried.CannotTravel("a structure nested too deeply", "flatten it") from None
        return _on_a_big_stack(functools.partial(_attempt, make, objects, entries, own))
    except Exception as error:  # whatever a strange object's own code raises: it cannot travel
        raise carried.CannotTravel(
            _reason(error), "make it in the step that uses it, or keep only the data behind it"
        ) from error
    memo = {key: obj for key, (_, obj) in pickler.memo.copy().items()}
    return file.getvalue(), memo, pickler, buffers


_DEEPEST = 1_000_000  # levels
_BIG_STACK = 1 << 29  # bytes; only what is used is taken


def _on_a_big_stack(work: Callable[[], Any]) -> Any:
    """Long chains of objects are taken apart level by level, each on the stack."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except carried.CannotTravel as error:
            outcome.append((None, error))

    limit, size = sys.getrecursionlimit(), threading.stack_size(_BIG_STACK)
    sys.setrecursionlimit(_DEEPEST)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    found, error = outcome[0]
    if error is not None:
        raise error
    return found


def _reason(error: Exception) -> str:
    text = str(error).replace("cannot pickle", "").replace("object", "").strip().strip("'\" ")
    return f"something that cannot be copied ({text or type(error).__name__})"


def _has_nan(objects: list[Any], met: Iterable[Any]) -> bool:
    return any(_holds_nan(obj) for obj in (*objects, *met))


def _holds_nan(obj: Any) -> bool:
    kind = type(obj)
    if kind is dict:
        values: Any = (*obj.keys(), *obj.values())
    elif kind in (list, tuple, set, frozenset):
        values = obj
    else:
        return kind is float and obj != obj
    return float in set(map(type, values)) and any(v != v for v in values if type(v) is float)


def _unordered_sets(objects: list[Any], met: Iterable[Any]) -> dict[int, sets.AnySet]:
    return {
        id(obj): obj
        for obj in (*objects, *met)
        if type(obj) in (set, frozenset) and not sets.keeps_order(obj)
    }


_NEVER_SHARED = frozenset(
    {str, bytes, int, float, complex, bool, type(None), tuple, frozenset, types.ModuleType}
)


def identity_matters(obj: Any) -> bool:
    """Could a program see that two names hold this very object? Asked only of objects met twice."""
    if isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType):
        return not definitions.is_importable(obj)
    if type(obj).__module__ == "numpy.dtypes" or (
        isinstance(obj, enum.Enum) and definitions.is_importable(type(obj))
    ):
        return False
    if singletons.find(obj) is not None:
        return False
    try:
        return not isinstance(obj.__reduce_ex__(5), str)
    except Exception:
        return True
