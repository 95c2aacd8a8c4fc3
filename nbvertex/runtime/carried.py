"""Objects that pickle refuses or changes in silence: each is carried rightly here, or refused with a mend."""

from __future__ import annotations

import gc
import operator
import sys
import types
import weakref
from typing import Any

Reduced = tuple[Any, ...]


class CannotTravel(Exception):
    """A value that another process cannot have.

    Args:
        what: the kind of thing, as a user would call it.
        hint: what to do about it.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


# --------------------------------------------------------------------------------------- locks, weakrefs


def reduce_lock(lock: Any) -> Reduced:
    """A lock that nobody holds is made anew."""
    if lock.locked():
        raise CannotTravel("a lock that is held", "release it before the step ends")
    return make_lock, ()


def make_lock() -> Any:
    """A fresh lock."""
    import threading

    return threading.Lock()


def reduce_rlock(lock: Any) -> Reduced:
    """A re-entrant lock that nobody holds is made anew."""
    if "count=0" not in repr(lock):
        raise CannotTravel("a lock that is held", "release it before the step ends")
    return make_rlock, ()


def make_rlock() -> Any:
    """A fresh re-entrant lock."""
    import threading

    return threading.RLock()


alive: list[
    Any
] = []  # what arrived by a weak reference alone: elsewhere in the notebook a name still holds it


def reduce_weakref(ref: Any) -> Reduced:
    """A weak reference to an object that travels too; a dead one stays dead."""
    return (make_weakref, (ref(), ref.__callback__)) if ref() is not None else (dead_reference, ())


def make_weakref(obj: Any, callback: Any) -> Any:
    """The weak reference again."""
    alive.append(obj)
    return weakref.ref(obj, callback)


def dead_reference() -> Any:
    """A weak reference whose object is gone."""

    class Gone:
        pass

    return weakref.ref(Gone())


def reduce_weak_dict(mapping: Any) -> Reduced:
    """A dict with weak keys or values: what is still alive in it."""
    return make_weak_dict, (type(mapping), dict(mapping.items()))


def make_weak_dict(kind: Any, items: dict[Any, Any]) -> Any:
    """The dict again."""
    alive.extend(items.values() if kind is weakref.WeakValueDictionary else items)
    return kind(items)


def reduce_weak_set(members: weakref.WeakSet[Any]) -> Reduced:
    """A weak set: what is still alive in it."""
    return make_weak_set, (list(members),)


def make_weak_set(members: list[Any]) -> Any:
    """The set again."""
    alive.extend(members)
    return weakref.WeakSet(members)


def reduce_finalizer(finalizer: Any) -> Reduced:
    """A call that is made when an object dies; one that was made, or taken back, stays so."""
    found = finalizer.peek()
    if found is None:
        return dead_finalizer, ()
    obj, function, args, kwargs = found
    return make_finalizer, (obj, function, args, kwargs, finalizer.atexit)


def make_finalizer(obj: Any, function: Any, args: Any, kwargs: Any, atexit: bool) -> Any:
    """The finalizer again."""
    alive.append(obj)
    made = weakref.finalize(obj, function, *args, **(kwargs or {}))
    made.atexit = atexit
    return made


def dead_finalizer() -> Any:
    """A finalizer that has nothing to do any more."""
    made = weakref.finalize(Exception("gone"), print)  # its object dies at once
    made.detach()
    return made


def release() -> None:
    """Let those objects go that something else holds by now: they may die when it does."""
    alone = _references([object()])[0]  # to an object that only a list holds, while it is looked at
    alive[:] = [obj for obj, count in zip(alive, _references(alive), strict=True) if count <= alone]


def _references(objects: list[Any]) -> list[int]:
    return [sys.getrefcount(obj) for obj in objects]


# ------------------------------------------------------------------------------------ small builtin types


def reduce_mapping_proxy(proxy: types.MappingProxyType[Any, Any]) -> Reduced:
    """A read-only view of a dict."""
    return types.MappingProxyType, (_behind(proxy),)


def _behind(proxy: types.MappingProxyType[Any, Any]) -> Any:
    behind = gc.get_referents(proxy)
    return behind[0] if behind else dict(proxy)


def reduce_dict_view(view: Any) -> Reduced:
    """``d.keys()``, ``d.values()``, ``d.items()`` of a dict that travels too."""
    return dict_view, (type(view).__name__.removeprefix("dict_"), _behind(view.mapping))


def dict_view(kind: str, mapping: Any) -> Any:
    """The view again."""
    return getattr(mapping, kind)()


def reduce_iterator(iterator: Any) -> Reduced:
    """An iterator over a dict, one of its views, or a set: over the same object, at the same place."""
    over = next((o for o in gc.get_referents(iterator) if isinstance(o, dict | set | frozenset)), None)
    kind = type(iterator).__name__
    if over is None:  # at its end
        return iterator_at, (kind, set() if kind == "set_iterator" else {}, 1)
    left = operator.length_hint(iterator)
    if not left:  # the object has changed its size since: every further step is an error
        raise CannotTravel("an iterator over something that has changed since", "iterate anew")
    return iterator_at, (kind, over, len(over) - left)


def iterator_at(kind: str, over: Any, taken: int) -> Any:
    """An iterator that has given its first items already."""
    ways: dict[str, Any] = {
        "dict_keyiterator": iter,
        "dict_valueiterator": lambda d: iter(d.values()),
        "dict_itemiterator": lambda d: iter(d.items()),
        "dict_reversekeyiterator": reversed,
        "dict_reversevalueiterator": lambda d: reversed(d.values()),
        "dict_reverseitemiterator": lambda d: reversed(d.items()),
        "set_iterator": iter,
    }
    made = ways[kind](over)
    for _ in range(taken):
        next(made, None)
    return made


def reduce_reversed(iterator: Any) -> Reduced:
    """A list read from its end; one that is at its end has forgotten its list, and pickle its kind."""
    way: Reduced = iterator.__reduce__()
    return way if len(way) == 3 else (ended_reversed, ())


def ended_reversed() -> Any:
    """Such an iterator at its end."""
    empty: list[Any] = []
    made = reversed(empty)
    next(made, None)
    return made


def reduce_memoryview(view: memoryview) -> Reduced:
    """A memory view of a whole object that travels too."""
    if view.nbytes != memoryview(view.obj).nbytes or not view.c_contiguous:
        raise CannotTravel("a memoryview of a part of an object", "slice it in the step that needs it")
    return memoryview, (view.obj,)


def reduce_loop(loop: Any) -> Reduced:
    """The event loop that the cells run in: the one of the other process."""
    if loop is not current_loop():
        raise CannotTravel("an event loop", "make it in the step that uses it")
    return current_loop, ()


def current_loop() -> Any:
    """The event loop of this process."""
    import asyncio

    return asyncio.get_event_loop_policy().get_event_loop()


def reduce_dialect(dialect: Any) -> Reduced:
    """A dialect of csv files."""
    return make_dialect, (
        {name: getattr(dialect, name) for name in dir(dialect) if not name.startswith("_")},
    )


def make_dialect(options: dict[str, Any]) -> Any:
    """The dialect again."""
    import _csv

    return _csv.Dialect(None, **options)


# ------------------------------------------------------------------------------------- what is refused

REFUSALS: dict[type, tuple[str, str]] = {
    types.GeneratorType: (
        "a generator that has begun",
        "keep a list (list(...)), or make it in the step that uses it",
    ),
    types.CoroutineType: ("a coroutine that has begun", "await it in the step that makes it"),
    types.AsyncGeneratorType: (
        "an async generator that has begun",
        "collect it in a list in the step that makes it",
    ),
    types.FrameType: ("a stack frame", "keep what you need from it"),
}

REFUSALS_BY_NAME: dict[str, tuple[str, str]] = {
    "_thread._localdummy": ("thread-local data", "make it in the step that uses it"),
    "_thread._local": ("thread-local data", "make it in the step that uses it"),
    "threading.Thread": ("a thread", "join it before the step ends"),
    "subprocess.Popen": ("a child process", "wait for it before the step ends and keep its output"),
    "socket.socket": ("a network connection", "connect in the step that uses it"),
    "ssl.SSLSocket": ("a network connection", "connect in the step that uses it"),
    "sqlite3.Connection": ("a database connection", "connect in the step that uses it"),
    "sqlite3.Cursor": ("a database cursor", "fetch its rows in the step that makes it"),
    "mmap.mmap": ("a memory map", "map the file in the step that uses it"),
    "_asyncio.Task": ("an asyncio task", "await it in the step that makes it"),
    "_asyncio.Future": ("an asyncio future", "await it in the step that makes it"),
    "_contextvars.ContextVar": ("a context variable", "make it in the step that uses it"),
    "_contextvars.Context": ("a context", "make it in the step that uses it"),
    "concurrent.futures.process.ProcessPoolExecutor": (
        "a pool of processes",
        "shut it down, or make it in the step that uses it",
    ),
    "multiprocessing.pool.Pool": ("a pool of processes", "close it, or make it in the step that uses it"),
}


def reduce_thread_pool(pool: Any) -> Reduced:
    """A pool of threads that has been shut down stays one."""
    if not pool._shutdown:
        raise CannotTravel("a pool of threads", "shut it down, or make it in the step that uses it")
    return closed_thread_pool, (pool._max_workers,)


def closed_thread_pool(workers: int) -> Any:
    """A pool of threads that takes no work any more."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(workers)
    pool.shutdown()
    return pool


def refusal(obj: Any) -> CannotTravel:
    """The refusal of an object that nothing knows how to carry."""
    for cls in type(obj).__mro__:
        known = REFUSALS.get(cls) or REFUSALS_BY_NAME.get(f"{cls.__module__}.{cls.__qualname__}")
        if known is not None:
            return CannotTravel(*known)
    kind = type(obj)
    return CannotTravel(
        f"an object of {kind.__module__}.{kind.__qualname__}",
        "make it in the step that uses it, or keep only the data behind it",
    )
