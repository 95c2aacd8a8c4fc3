"""Objects that pickle refuses or changes in silence: each is carried rightly here, or refused with a mend."""

from __future__ import annotations

import functools
import io
import os
import sys
import types
import weakref
from collections.abc import Callable
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


# -------------------------------------------------------------------------------------------- open files


def reduce_text_file(file: io.TextIOWrapper) -> Reduced:
    """An open text file: opened again at the same place."""
    if file is sys.stdout or file is sys.stderr or file is sys.stdin:
        return standard_stream, (_standard_name(file),)
    if file.closed:
        return closed_file, (getattr(file, "name", ""), getattr(file, "mode", "r"), file.encoding)
    raw = getattr(file.buffer, "raw", file.buffer)
    _check_disk_file(raw)
    file.flush()
    how = {"encoding": file.encoding, "errors": file.errors}
    try:
        position = file.tell()
    except OSError:  # "telling position disabled by next() call"
        hint = "read it to the end, or keep its lines in a list"
        raise CannotTravel("a text file in the middle of a for loop", hint) from None
    return reopen, (os.path.abspath(raw.name), raw.name, _again(raw.mode), file.mode, position, how)


def _standard_name(file: Any) -> str:
    return next(name for name in ("stdout", "stderr", "stdin") if getattr(sys, name) is file)


def reduce_binary_file(file: io.BufferedReader | io.BufferedWriter | io.BufferedRandom | io.FileIO) -> Reduced:
    """An open binary file: opened again at the same place."""
    if file.closed:
        return closed_file, (getattr(file, "name", ""), getattr(file, "mode", "rb"), None)
    raw = getattr(file, "raw", file)
    _check_disk_file(raw)
    if file.writable():
        file.flush()
    how = {"buffering": 0} if isinstance(file, io.FileIO) else {}
    return reopen, (os.path.abspath(raw.name), raw.name, _again(raw.mode), raw.mode, file.tell(), how)


def _check_disk_file(raw: Any) -> None:
    import stat

    name = getattr(raw, "name", None)
    if not isinstance(name, str) or not stat.S_ISREG(os.fstat(raw.fileno()).st_mode) or not os.path.exists(name):
        raise CannotTravel("an open pipe, device or deleted file", "read what you need from it and close it")
    if not os.path.samestat(os.fstat(raw.fileno()), os.stat(name)):
        raise CannotTravel("an open file that has been replaced on disk", "close it and open it again in the step that needs it")


def _again(mode: str) -> str:
    """The mode that opens a file again without cutting it."""
    if mode.startswith("r"):
        return mode if "b" in mode else mode + "b"
    if mode.startswith("a"):
        return mode
    return "rb+"


def reopen(path: str, name: str, mode: str, shown: str, position: int, how: dict[str, Any]) -> Any:
    """The file again, at its position; text where ``how`` has an encoding."""
    target = path if os.path.exists(path) else name
    binary = mode.replace("b", "") + "b"
    if "buffering" in how:
        file: Any = open(target, binary, buffering=0)  # noqa: SIM115 - it is the user's to close
    elif "encoding" in how:
        text = binary.replace("b", "")
        file = open(target, text, **how)  # noqa: SIM115
        file.mode = shown
    else:
        file = open(target, binary)  # noqa: SIM115
    raw = getattr(getattr(file, "buffer", file), "raw", file)
    raw.name = name
    file.seek(position)
    return file


def closed_file(name: str, mode: str, encoding: str | None) -> Any:
    """A closed file stays a closed file of that name."""
    raw = io.FileIO(os.devnull, "r")
    raw.name = name
    buffered = io.BufferedReader(raw)
    file: Any = buffered
    if encoding is not None:
        file = io.TextIOWrapper(buffered, encoding=encoding)
        file.mode = mode
    file.close()
    return file


def standard_stream(name: str) -> Any:
    """The standard stream of this process."""
    return getattr(sys, name)


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


def reduce_weakref(ref: weakref.ref[Any]) -> Reduced:
    """A weak reference to an object that travels too; a dead one stays dead."""
    if ref.__callback__ is not None:
        raise CannotTravel("a weak reference with a callback", "keep the object itself")
    target = ref()
    if target is None:
        return dead_reference, ()
    return weakref.ref, (target,)


def dead_reference() -> Any:
    """A weak reference whose object is gone."""

    class Gone:
        pass

    return weakref.ref(Gone())


def reduce_weak_dict(mapping: Any) -> Reduced:
    """A dict with weak keys or values: what is still alive in it."""
    return type(mapping), (), None, None, iter(list(mapping.items()))


def reduce_weak_set(members: weakref.WeakSet[Any]) -> Reduced:
    """A weak set: what is still alive in it."""
    return weakref.WeakSet, (list(members),)


# ------------------------------------------------------------------------------------ small builtin types


def reduce_mapping_proxy(proxy: types.MappingProxyType[Any, Any]) -> Reduced:
    """A read-only view of a dict."""
    return types.MappingProxyType, (_behind(proxy),)


def _behind(proxy: types.MappingProxyType[Any, Any]) -> Any:
    import gc

    behind = gc.get_referents(proxy)
    return behind[0] if behind else dict(proxy)


def reduce_dict_view(view: Any) -> Reduced:
    """``d.keys()``, ``d.values()``, ``d.items()`` of a dict that travels too."""
    return dict_view, (type(view).__name__.removeprefix("dict_"), _behind(view.mapping))


def dict_view(kind: str, mapping: Any) -> Any:
    """The view again."""
    return getattr(mapping, kind)()


def reduce_memoryview(view: memoryview) -> Reduced:
    """A memory view of a whole object that travels too."""
    if view.nbytes != memoryview(view.obj).nbytes or not view.c_contiguous:
        raise CannotTravel("a memoryview of a part of an object", "slice it in the step that needs it")
    return memoryview, (view.obj,)


# ----------------------------------------------------------------------------------------------- caches


def reduce_lru_cache(wrapper: Any) -> Reduced:
    """A function under ``functools.lru_cache`` with what it has remembered and its counts."""
    import gc

    function = wrapper.__wrapped__
    parameters = wrapper.cache_parameters()
    info = wrapper.cache_info()
    entries: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []
    if info.currsize:
        entries = _remembered(gc.get_referents(wrapper), info.currsize, parameters)
    state = (dict(wrapper.__dict__), entries, info.hits, info.misses)
    return make_lru_cache, (function, parameters["maxsize"], parameters["typed"]), state, None, None, fill_lru_cache


def _remembered(referents: list[Any], size: int, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    import gc

    hint = "call its cache_clear() before the step ends"
    caches = [r for r in referents if type(r) is dict and len(r) == size]
    if not caches or parameters["typed"]:
        raise CannotTravel("a filled lru_cache of a kind that cannot be read", hint)
    entries = []
    for key, held in caches[0].items():
        result = held
        if parameters["maxsize"] is not None:  # a link of the list: key and result
            parts = [p for p in gc.get_referents(held) if p is not key]
            result = parts[-1] if parts else key
        entries.append((*_arguments(key), result))
    return entries


def _arguments(key: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if type(key) is not tuple:
        return (key,), {}
    for i, part in enumerate(key):
        if type(part) is object:  # the mark between positional and keyword arguments
            rest = key[i + 1 :]
            return key[:i], dict(zip(rest[::2], rest[1::2], strict=True))
    return key, {}


def make_lru_cache(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """The function wrapped anew, with nothing remembered yet."""
    return functools.lru_cache(maxsize, typed)(function)


def fill_lru_cache(wrapper: Any, state: tuple[dict[str, Any], list[Any], int, int]) -> None:
    """Make the cache remember again, and count as it did."""
    attributes, entries, hits, misses = state
    function = attributes.get("__wrapped__")
    answers: list[Any] = []

    def answer(*args: Any, **kwargs: Any) -> Any:
        if not answers:
            raise LookupError
        return answers.pop()

    if isinstance(function, types.FunctionType) and (entries or misses):
        _fill(wrapper, function, answer, answers, entries, hits, misses)
    elif entries:
        raise CannotTravel("a filled lru_cache around something that is no function", "call its cache_clear()")
    wrapper.__dict__.update(attributes)


def _fill(
    wrapper: Any, function: types.FunctionType, answer: Any, answers: list[Any], entries: list[Any], hits: int, misses: int
) -> None:
    # The wrapper calls `function`: for the time of filling, its code hands over to `answer`.
    own, own_defaults, own_kw = function.__code__, function.__defaults__, function.__kwdefaults__
    stub = _stub(len(own.co_freevars))
    live = function.__globals__
    live["__nbvertex_answer__"] = answer
    function.__code__, function.__defaults__, function.__kwdefaults__ = stub, None, None
    try:
        for args, kwargs, result in entries:
            answers.append(result)
            wrapper(*args, **kwargs)
        for _ in range(misses - len(entries)):
            try:
                wrapper(object())
            except LookupError:
                pass  # a miss that left nothing behind
        for _ in range(hits if entries else 0):
            wrapper(*entries[-1][0], **entries[-1][1])
    finally:
        function.__code__, function.__defaults__, function.__kwdefaults__ = own, own_defaults, own_kw
        del live["__nbvertex_answer__"]


def _stub(free: int) -> types.CodeType:
    """Code that only hands over, with as many free variables as the function whose place it takes."""
    names = [f"v{i}" for i in range(free)]
    source = "\n".join(
        [
            "def outer():",
            *(f" {name} = None" for name in names),
            " def stub(*args, **kwargs):",
            "  return __nbvertex_answer__(*args, **kwargs)",
            *(f"  {name}" for name in names),
            " return stub",
        ]
    )
    scope: dict[str, Any] = {}
    exec(source, scope)  # noqa: S102 - fixed text; only its length varies
    code: types.CodeType = scope["outer"]().__code__
    return code


def reduce_single_dispatch(wrapper: types.FunctionType) -> Reduced:
    """A ``functools.singledispatch`` function with everything registered on it."""
    registry = wrapper.registry  # type: ignore[attr-defined]
    extra = {k: v for k, v in wrapper.__dict__.items() if k not in ("register", "dispatch", "registry", "_clear_cache")}
    return make_single_dispatch, (registry[object],), (dict(registry), extra), None, None, fill_single_dispatch


def make_single_dispatch(default: Callable[..., Any]) -> Any:
    """The generic function with its default alone."""
    return functools.singledispatch(default)


def fill_single_dispatch(wrapper: Any, state: tuple[dict[type, Callable[..., Any]], dict[str, Any]]) -> None:
    """Register everything again, in the same order."""
    registry, extra = state
    for cls, function in registry.items():
        wrapper.register(cls, function)
    wrapper.__dict__.update(extra)


# ------------------------------------------------------------------------------------- what is refused

REFUSALS: dict[type, tuple[str, str]] = {
    types.GeneratorType: ("a generator", "keep a list (list(...)), or make it in the step that uses it"),
    types.CoroutineType: ("a coroutine", "await it in the step that makes it"),
    types.AsyncGeneratorType: ("an async generator", "collect it in a list in the step that makes it"),
    types.FrameType: ("a stack frame", "keep what you need from it"),
    types.TracebackType: ("a traceback", "keep its text (traceback.format_exc())"),
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
    "concurrent.futures.process.ProcessPoolExecutor": ("a pool of processes", "shut it down, or make it in the step that uses it"),
    "multiprocessing.pool.Pool": ("a pool of processes", "close it, or make it in the step that uses it"),
}


def reduce_thread_pool(pool: Any) -> Reduced:
    """A pool of threads that has been shut down stays one."""
    if not pool._shutdown:  # noqa: SLF001 - there is no other way to ask
        raise CannotTravel("a pool of threads", "shut it down, or make it in the step that uses it")
    return closed_thread_pool, (pool._max_workers,)  # noqa: SLF001


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
