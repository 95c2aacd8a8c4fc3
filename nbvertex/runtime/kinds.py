"""How each kind of object is taken apart: one handler a type, found when the type is first met."""

from __future__ import annotations

import enum
import functools
import io
import pickle
import re
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from . import (
    arrays,
    caches,
    carried,
    definitions,
    generators,
    instances,
    libraries,
    matches,
    openfiles,
    probes,
    replaced,
    singletons,
    streams,
    tracebacks,
)


class Pickler(Protocol):
    """What a handler may ask of the pickler that calls it."""

    free: set[str]
    fragile: bool
    kept: list[Any]

    def refer(self, obj: Any) -> Any: ...
    def is_elsewhere(self, obj: Any) -> bool: ...
    def family(self, cls: type) -> list[str]: ...


Handler = Callable[[Pickler, Any], Any]


def handler(kind: type) -> Handler:
    """The handler of a type."""
    found = _HANDLERS.get(kind)
    if found is None:
        found = _HANDLERS[kind] = _handler_for(kind)
    return found


def resolve(entry: str) -> Any:
    """The object of an entry, loaded where it is not yet; heap sets how."""
    return resolver(entry)


def _unset(entry: str) -> Any:
    raise LookupError(entry)


resolver: Callable[[str], Any] = _unset


def _default(pickler: Pickler, obj: Any) -> Any:
    found = singletons.find(obj)
    return NotImplemented if found is None else (singletons.get, found)


def _plain(pickler: Pickler, obj: Any) -> Any:
    return NotImplemented


def _function(pickler: Pickler, function: types.FunctionType) -> Any:
    if definitions.is_importable(function):
        return NotImplemented
    referred = pickler.refer(function)
    if referred is not None:
        return referred
    if "registry" in function.__dict__ and "dispatch" in function.__dict__:
        pickler.free |= _free_of(function.registry.values())  # type: ignore[attr-defined]
        return caches.reduce_single_dispatch(function)
    pickler.free |= definitions.free_names(function)
    return definitions.reduce_function(function)


def _free_of(functions: Iterable[Any]) -> set[str]:
    return {n for f in functions if isinstance(f, types.FunctionType) for n in definitions.free_names(f)}


def _class(pickler: Pickler, cls: type) -> Any:
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
    return pickler.refer(cls) or definitions.reduce_class(cls, pickler.family(cls))


_UNNAMED = {type(None): None, type(NotImplemented): NotImplemented, type(...): ...}
_OF_PYTHON = {
    cls: name for name, cls in vars(types).items() if isinstance(cls, type)
}  # "method", "function", ...


def _typevar(pickler: Pickler, var: Any) -> Any:
    if definitions.is_importable(var):
        return NotImplemented
    return pickler.refer(var) or definitions.reduce_typevar(var)


def _array(pickler: Pickler, array: Any) -> Any:
    if not arrays.is_plain(array):  # of objects: element by element
        return arrays.reduce_empty(array) or arrays.reduce_object_view(array) or NotImplemented
    base = arrays.owner_of(array)
    return arrays.reduce_array(array) if base is None else arrays.reduce_view(array, base)


def _own_array(pickler: Pickler, array: Any) -> Any:
    """An instance of a subclass of ndarray; those that know how to travel do so."""
    numpy = sys.modules["numpy"]
    if arrays.is_memmap(array):
        return arrays.reduce_memmap(array)
    if (
        f"{type(array).__module__}.{type(array).__qualname__}" == "numpy.ma.MaskedArray"
        and not array.dtype.hasobject
    ):
        return arrays.reduce_subclass(array)  # its own way makes a mask where there is none
    if type(array).__reduce__ is not numpy.ndarray.__reduce__ or array.dtype.hasobject:
        return NotImplemented
    return arrays.reduce_subclass(array)


def _shell(pickler: Pickler, shell: Any) -> Any:
    return running_shell, ()


def running_shell() -> Any:
    """The IPython shell of this process."""
    from IPython import get_ipython

    return get_ipython()


def _builtin(pickler: Pickler, function: Any) -> Any:
    found = replaced.find(function)
    return NotImplemented if found is None else (replaced.original, found)


def _decimal_context(pickler: Pickler, context: Any) -> Any:
    return (probes.current_context, ()) if probes.is_current(context) else NotImplemented


LRU_CACHE = type(functools.lru_cache(lambda: None))


def _stream(pickler: Pickler, stream: Any) -> Any:
    for name, ours in streams.standard.items():
        if ours is stream:
            return openfiles.standard_stream, (name,)
    for name in ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__"):
        if getattr(sys, name) is stream:
            return openfiles.standard_stream, (name,)
    return NotImplemented


def _lru_cache(pickler: Pickler, wrapper: Any) -> Any:
    if definitions.is_importable(wrapper):
        return NotImplemented
    return pickler.refer(wrapper) or caches.reduce_lru_cache(wrapper)


def _block(pickler: Pickler, block: Any) -> Any:
    """A block of a pandas object. With copy-on-write, what two pandas objects share is copied when one writes."""
    how, args, *rest = block.__reduce__()
    numpy = sys.modules["numpy"]
    if type(args[0]) is numpy.ndarray and arrays.is_plain(args[0]) and _copies_on_write(block):
        pickler.kept.append(args[0])
        return how, (_Alone(args[0]), *args[1:]), *rest
    return NotImplemented


class _Alone:
    """An array that is pickled as if it were no view of another."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        return arrays.reduce_array(self.array)


def _copies_on_write(block: Any) -> bool:
    """Does another pandas object use this block's memory, and neither may see the other write?"""
    pandas = sys.modules["pandas"]
    refs = getattr(block, "refs", None)
    if refs is None or not refs.has_reference():
        return False
    if int(pandas.__version__.partition(".")[0]) >= 3:
        return True
    return bool(getattr(pandas.options.mode, "copy_on_write", False))


def _refused(pickler: Pickler, obj: Any) -> Any:
    raise carried.refusal(obj)


def _of(reduce: Callable[[Any], Any]) -> Handler:
    return lambda pickler, obj: reduce(obj)


def _member(pickler: Pickler, member: enum.Enum) -> Any:
    if definitions.is_importable(type(member)):
        return NotImplemented
    if pickler.is_elsewhere(type(member)):
        return NotImplemented  # looked up by its value in the class, which is there by then
    return definitions.reduce_member(member)


def _weak(reduce: Callable[[Any], Any]) -> Handler:
    """Something that tells when an object has died."""

    def handle(pickler: Pickler, obj: Any) -> Any:
        pickler.fragile = True
        return reduce(obj)

    return handle


def _ours(pickler: Pickler, obj: Any) -> Any:
    """An instance of a notebook's class: by its parts, without running the notebook's own hooks again."""
    pickler.fragile = pickler.fragile or hasattr(type(obj), "__del__")
    return instances.reduce(obj)


def _handler_for(kind: type) -> Handler:
    """The handler of a type that is met for the first time."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in carried.REFUSALS_BY_NAME or kind in carried.REFUSALS:
        return _refused
    if name == "concurrent.futures.thread.ThreadPoolExecutor":
        return _of(carried.reduce_thread_pool)
    if kind.__name__ == "NpzFile" and kind.__module__.startswith("numpy."):
        return _of(openfiles.reduce_archive)
    if any(c.__module__ == "asyncio.events" and c.__name__ == "AbstractEventLoop" for c in kind.__mro__):
        return _of(carried.reduce_loop)
    if name == "decimal.Context":
        return _decimal_context
    if name == "_csv.Dialect":
        return _of(carried.reduce_dialect)
    if name == "functools.KeyWrapper":
        return _of(caches.reduce_key_wrapper)
    if name == "numpy.ndarray":
        return _array
    if name.startswith("pandas.core.internals.blocks.") or name == "pandas._libs.internals.Block":
        return _block
    if kind is streams.Stream:
        return _stream
    known = libraries.handler(kind)
    if known is not None:
        return known
    if any(c.__module__ == "numpy" and c.__name__ == "ndarray" for c in kind.__mro__):
        return _own_array
    for base, handler in _FAMILIES:
        if issubclass(kind, base):
            return handler
    if any(c.__name__ == "InteractiveShell" for c in kind.__mro__):
        return _shell
    if not definitions.is_importable(kind) and definitions.is_written_in_python(kind):
        return _refused if _has_refused_base(kind) else _ours
    if issubclass(kind, list | dict | set) and definitions.is_written_in_python(kind):
        return _ours  # their own append() and the like are not for filling them again
    return _default


def _has_refused_base(kind: type) -> bool:
    return any(f"{c.__module__}.{c.__qualname__}" in carried.REFUSALS_BY_NAME for c in kind.__mro__)


_FAMILIES: tuple[tuple[type, Handler], ...] = (
    (type, _class),
    (enum.Enum, _member),
    (io.TextIOWrapper, _of(openfiles.reduce_text_file)),
    (io.BufferedReader, _of(openfiles.reduce_binary_file)),
    (io.BufferedWriter, _of(openfiles.reduce_binary_file)),
    (io.BufferedRandom, _of(openfiles.reduce_binary_file)),
    (io.FileIO, _of(openfiles.reduce_binary_file)),
    (property, _of(definitions.reduce_property)),
    (classmethod, _of(definitions.reduce_wrapper)),
    (staticmethod, _of(definitions.reduce_wrapper)),
    (types.ModuleType, _of(definitions.reduce_module)),
    (weakref.ref, _weak(carried.reduce_weakref)),
    (threading.Thread, _refused),
    (BaseException, _of(instances.exception)),
)

_DEFINED = (*definitions.KINDS, LRU_CACHE)


def is_definition(obj: Any) -> bool:
    """Is it a function, class or the like that the notebook made?"""
    return isinstance(obj, _DEFINED) and not definitions.is_importable(obj)


_OVER: tuple[Any, ...] = ({}, {}.values(), {}.items())
_ITERATORS = [type(iter(set())), *(type(way(over)) for over in _OVER for way in (iter, reversed))]

_HANDLERS: dict[type, Handler] = {
    types.FunctionType: _function,
    type: _class,
    types.CellType: _of(definitions.reduce_cell),
    types.CodeType: _of(definitions.reduce_code),
    types.MethodType: _of(definitions.reduce_method),
    types.TracebackType: _of(tracebacks.reduce),
    types.MappingProxyType: _of(carried.reduce_mapping_proxy),
    type({}.keys()): _of(carried.reduce_dict_view),
    type({}.values()): _of(carried.reduce_dict_view),
    type({}.items()): _of(carried.reduce_dict_view),
    memoryview: _of(carried.reduce_memoryview),
    type(reversed([])): _of(carried.reduce_reversed),
    re.Match: _of(matches.reduce),
    **dict.fromkeys(_ITERATORS, _of(carried.reduce_iterator)),
    type(threading.Lock()): _of(carried.reduce_lock),
    type(threading.RLock()): _of(carried.reduce_rlock),
    LRU_CACHE: _lru_cache,
    types.BuiltinFunctionType: _builtin,
    pickle.PickleBuffer: _plain,
    io.StringIO: _of(openfiles.reduce_buffer),
    io.BytesIO: _of(openfiles.reduce_buffer),
    weakref.WeakValueDictionary: _weak(carried.reduce_weak_dict),
    weakref.WeakKeyDictionary: _weak(carried.reduce_weak_dict),
    weakref.finalize: _weak(carried.reduce_finalizer),
    weakref.WeakSet: _weak(carried.reduce_weak_set),
    **dict.fromkeys(carried.REFUSALS, _refused),
    **dict.fromkeys(generators.KINDS, _of(generators.reduce)),
    **{kind: _typevar for kind in definitions.KINDS if kind not in (types.FunctionType, type)},
}
