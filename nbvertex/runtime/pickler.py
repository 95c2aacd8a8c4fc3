"""One object to bytes: what it shares, which definitions it refers to and which names it reads come out beside."""

from __future__ import annotations

import enum
import functools
import io
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import arrays, carried, definitions, sets, singletons

Reduced = tuple[Any, ...] | str
Handler = Callable[["HeapPickler", Any], Any]


@dataclass(frozen=True, slots=True)
class Dump:
    """What pickling a group of objects gave.

    Args:
        stream: the pickle.
        buffers: the big arrays beside it.
        refs: entry ids of definitions that lie elsewhere.
        free: names that functions in it read when they are called.
        shared: id -> object for everything in it whose identity could be seen.
        by_name: something in it goes by a name or in a way of its own: no other format serves.
    """

    stream: bytes
    buffers: tuple[Any, ...]
    refs: frozenset[str]
    free: frozenset[str]
    shared: dict[int, Any]
    by_name: bool = False


class HeapPickler(pickle.Pickler):
    """Pickles what a notebook holds; functions and classes of the notebook travel by their parts.

    Args:
        file: where the stream goes.
        entries: id of a definition -> the entry that it is.
        own: the entries that are being pickled; others are referred to.
        buffers: filled with the buffers that go beside the stream.
    """

    def __init__(
        self, file: io.BytesIO, entries: Mapping[int, str], own: Collection[str], buffers: list[pickle.PickleBuffer]
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffers.append)
        self.entries = entries
        self.own = own
        self.refs: set[str] = set()
        self.free: set[str] = set()
        self.kept: list[Any] = []  # what was made on the way: ids must not be used twice

    def reducer_override(self, obj: Any) -> Any:
        """How an object is taken apart; NotImplemented leaves it to pickle."""
        kind = type(obj)
        handler = _HANDLERS.get(kind)
        if handler is None:
            handler = _HANDLERS[kind] = _handler_for(kind)
        return handler(self, obj)

    def refer(self, obj: Any) -> Any:
        """The reduction of a definition that is an entry elsewhere, or None."""
        if not self.is_elsewhere(obj):
            return None
        entry = self.entries[id(obj)]
        self.refs.add(entry)
        return resolve, (entry,)

    def is_elsewhere(self, obj: Any) -> bool:
        """Is this a definition with an entry of its own that is not being pickled now?"""
        entry = self.entries.get(id(obj))
        return entry is not None and entry not in self.own


def resolve(entry: str) -> Any:
    """The object of an entry, loaded where it is not yet; heap sets how."""
    return resolver(entry)


def _unset(entry: str) -> Any:
    raise LookupError(entry)


resolver: Callable[[str], Any] = _unset


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
        sets: Mapping[int, set[Any]],
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
                return "set", (self.sets_met[id(obj)], None, 0)
            number = self.sets_met[id(obj)] = len(self.sets_met)
            return "set", (number, list(obj), sets.table_size(obj))
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
        self.sets: dict[int, set[Any]] = {}

    def persistent_load(self, pid: Any) -> Any:
        """What `ExactPickler.persistent_id` named."""
        kind, value = pid
        if kind == "set":
            number, items, size = value
            if number not in self.sets:
                self.sets[number] = sets.build(items, size)
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
    "builtins": (),
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
    shared = {key: obj for key, obj in memo.items() if type(obj) not in _NEVER_SHARED}
    if isinstance(pickler, ExactPickler):
        shared.update({key: nan for key, (_, nan) in pickler.nans.items()})
    by_name = isinstance(pickler, ExactPickler)
    return Dump(stream, tuple(buffers), frozenset(pickler.refs), frozenset(pickler.free), shared, by_name)


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
        raise carried.CannotTravel("a structure nested too deeply", "raise sys.setrecursionlimit, or flatten it") from None
    except Exception as error:  # whatever a strange object's own code raises: it cannot travel
        raise carried.CannotTravel(_reason(error), "make it in the step that uses it, or keep only the data behind it") from error
    memo = {key: obj for key, (_, obj) in pickler.memo.copy().items()}
    return file.getvalue(), memo, pickler, buffers


def _reason(error: Exception) -> str:
    text = str(error).replace("cannot pickle", "").replace("object", "").strip().strip("'\" ")
    return f"something that cannot be copied ({text or type(error).__name__})"


def _has_nan(objects: list[Any], met: Iterable[Any]) -> bool:
    return any(_holds_nan(obj) for obj in (*objects, *met))


def _holds_nan(obj: Any) -> bool:
    kind = type(obj)
    if kind is dict:
        values: Any = obj.values()
    elif kind in (list, tuple, set, frozenset):
        values = obj
    else:
        return kind is float and obj != obj
    return float in set(map(type, values)) and any(v != v for v in values if type(v) is float)


def _unordered_sets(objects: list[Any], met: Iterable[Any]) -> dict[int, set[Any]]:
    return {id(obj): obj for obj in (*objects, *met) if type(obj) is set and not sets.keeps_order(obj)}


_NEVER_SHARED = frozenset({str, bytes, int, float, complex, bool, type(None), tuple, frozenset, types.ModuleType})


def identity_matters(obj: Any) -> bool:
    """Could a program see that two names hold this very object? Asked only of objects met twice."""
    if isinstance(obj, type | types.FunctionType | types.BuiltinFunctionType):
        return not definitions.is_importable(obj)
    if type(obj).__module__ == "numpy.dtypes" or isinstance(obj, enum.Enum) and definitions.is_importable(type(obj)):
        return False
    if singletons.find(obj) is not None:
        return False
    try:
        return not isinstance(obj.__reduce_ex__(5), str)
    except Exception:  # noqa: BLE001 - an object's own code; what cannot be reduced by itself is shared
        return True


# --------------------------------------------------------------------------------- a handler for each type


def _default(pickler: HeapPickler, obj: Any) -> Any:
    found = singletons.find(obj)
    return NotImplemented if found is None else (singletons.get, found)


def _plain(pickler: HeapPickler, obj: Any) -> Any:
    return NotImplemented


def _function(pickler: HeapPickler, function: types.FunctionType) -> Any:
    if definitions.is_importable(function):
        return NotImplemented
    referred = pickler.refer(function)
    if referred is not None:
        return referred
    if "registry" in function.__dict__ and "dispatch" in function.__dict__:
        pickler.free |= _free_of(function.registry.values())  # type: ignore[attr-defined]
        return carried.reduce_single_dispatch(function)
    pickler.free |= definitions.free_names(function)
    return definitions.reduce_function(function)


def _free_of(functions: Iterable[Any]) -> set[str]:
    return {n for f in functions if isinstance(f, types.FunctionType) for n in definitions.free_names(f)}


def _class(pickler: HeapPickler, cls: type) -> Any:
    if definitions.is_importable(cls):
        return NotImplemented
    found = singletons.find(cls)
    if found is not None:
        return singletons.get, found
    if cls in _UNNAMED:
        return type, (_UNNAMED[cls],)
    if cls in _OF_PYTHON:
        return getattr, (types, _OF_PYTHON[cls])
    if not definitions.is_written_in_python(cls):
        raise carried.refusal(cls)
    return pickler.refer(cls) or definitions.reduce_class(cls)


_UNNAMED = {type(None): None, type(NotImplemented): NotImplemented, type(...): ...}
_OF_PYTHON = {cls: name for name, cls in vars(types).items() if isinstance(cls, type)}  # "method", "function", ...


def _typevar(pickler: HeapPickler, var: Any) -> Any:
    if definitions.is_importable(var):
        return NotImplemented
    return pickler.refer(var) or definitions.reduce_typevar(var)


def _array(pickler: HeapPickler, array: Any) -> Any:
    if not arrays.is_plain(array):
        return NotImplemented
    base = arrays.owner_of(array)
    return arrays.reduce_array(array) if base is None else arrays.reduce_view(array, base)


def _shell(pickler: HeapPickler, shell: Any) -> Any:
    return running_shell, ()


def running_shell() -> Any:
    """The IPython shell of this process."""
    from IPython import get_ipython

    return get_ipython()  # type: ignore[no-untyped-call]


_lru_cache_example = functools.lru_cache(lambda: None)


def _stream(pickler: HeapPickler, stream: Any) -> Any:
    for name in ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__"):
        if getattr(sys, name) is stream:
            return carried.standard_stream, (name,)
    return NotImplemented


def _lru_cache(pickler: HeapPickler, wrapper: Any) -> Any:
    if definitions.is_importable(wrapper):
        return NotImplemented
    return pickler.refer(wrapper) or carried.reduce_lru_cache(wrapper)


def _block(pickler: HeapPickler, block: Any) -> Any:
    """A block of a pandas object. With copy-on-write two pandas objects never share what can be seen."""
    how, args, *rest = block.__reduce__()
    numpy = sys.modules["numpy"]
    if type(args[0]) is numpy.ndarray and arrays.is_plain(args[0]) and _copies_on_write():
        pickler.kept.append(args[0])
        return how, (_Alone(args[0]), *args[1:]), *rest
    return NotImplemented


class _Alone:
    """An array that is pickled as if it were no view of another."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        return arrays.reduce_array(self.array)


def _copies_on_write() -> bool:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return False
    if int(pandas.__version__.partition(".")[0]) >= 3:
        return True
    return bool(getattr(pandas.options.mode, "copy_on_write", False))


def _refused(pickler: HeapPickler, obj: Any) -> Any:
    raise carried.refusal(obj)


def _of(reduce: Callable[[Any], Any]) -> Handler:
    return lambda pickler, obj: reduce(obj)


def _member(pickler: HeapPickler, member: enum.Enum) -> Any:
    if definitions.is_importable(type(member)):
        return NotImplemented
    if pickler.is_elsewhere(type(member)):
        return NotImplemented  # looked up by its value in the class, which is there by then
    return definitions.reduce_member(member)


def _ours(pickler: HeapPickler, obj: Any) -> Any:
    """An instance of a notebook's class: by its parts, without running the notebook's own hooks again."""
    from . import instances

    return instances.reduce(obj)


def _handler_for(kind: type) -> Handler:
    """The handler of a type that is met for the first time."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in carried.REFUSALS_BY_NAME or kind in carried.REFUSALS:
        return _refused
    if name == "concurrent.futures.thread.ThreadPoolExecutor":
        return _of(carried.reduce_thread_pool)
    if name == "numpy.ndarray":
        return _array
    if name.startswith("pandas.core.internals.blocks.") or name == "pandas._libs.internals.Block":
        return _block
    if kind in (type(sys.stdout), type(sys.stderr)) and kind is not io.TextIOWrapper:
        return _stream
    for base, handler in _FAMILIES:
        if issubclass(kind, base):
            return handler
    if any(c.__name__ == "InteractiveShell" for c in kind.__mro__):
        return _shell
    if not definitions.is_importable(kind) and definitions.is_written_in_python(kind):
        return _refused if _has_refused_base(kind) else _ours
    return _default


def _has_refused_base(kind: type) -> bool:
    return any(f"{c.__module__}.{c.__qualname__}" in carried.REFUSALS_BY_NAME for c in kind.__mro__)


_FAMILIES: tuple[tuple[type, Handler], ...] = (
    (type, _class),
    (enum.Enum, _member),
    (io.TextIOWrapper, _of(carried.reduce_text_file)),
    (io.BufferedReader, _of(carried.reduce_binary_file)),
    (io.BufferedWriter, _of(carried.reduce_binary_file)),
    (io.BufferedRandom, _of(carried.reduce_binary_file)),
    (io.FileIO, _of(carried.reduce_binary_file)),
    (property, _of(definitions.reduce_property)),
    (classmethod, _of(definitions.reduce_wrapper)),
    (staticmethod, _of(definitions.reduce_wrapper)),
    (types.ModuleType, _of(definitions.reduce_module)),
    (weakref.ref, _of(carried.reduce_weakref)),
    (threading.Thread, _refused),
)

_HANDLERS: dict[type, Handler] = {
    types.FunctionType: _function,
    type: _class,
    types.CellType: _of(definitions.reduce_cell),
    types.CodeType: _of(definitions.reduce_code),
    types.MethodType: _of(definitions.reduce_method),
    types.MappingProxyType: _of(carried.reduce_mapping_proxy),
    type({}.keys()): _of(carried.reduce_dict_view),
    type({}.values()): _of(carried.reduce_dict_view),
    type({}.items()): _of(carried.reduce_dict_view),
    memoryview: _of(carried.reduce_memoryview),
    type(threading.Lock()): _of(carried.reduce_lock),
    type(threading.RLock()): _of(carried.reduce_rlock),
    type(_lru_cache_example): _lru_cache,
    types.BuiltinFunctionType: _plain,
    pickle.PickleBuffer: _plain,
    weakref.WeakValueDictionary: _of(carried.reduce_weak_dict),
    weakref.WeakKeyDictionary: _of(carried.reduce_weak_dict),
    weakref.WeakSet: _of(carried.reduce_weak_set),
    **{kind: _refused for kind in carried.REFUSALS},
    **{kind: _typevar for kind in definitions.KINDS if kind not in (types.FunctionType, type)},
}
