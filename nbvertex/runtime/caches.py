"""Functions that remember: `functools.lru_cache` with its entries and counts, `functools.singledispatch`, `cmp_to_key`."""

from __future__ import annotations

import functools
import gc
import types
from collections.abc import Callable
from typing import Any

from . import carried

Reduced = tuple[Any, ...]


def reduce_lru_cache(wrapper: Any) -> Reduced:
    """A function under ``functools.lru_cache`` with what it has remembered and its counts."""
    function = wrapper.__wrapped__
    parameters = wrapper.cache_parameters()
    info = wrapper.cache_info()
    entries: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []
    if info.currsize:
        entries = _remembered(gc.get_referents(wrapper), info.currsize, parameters)
    state = (dict(wrapper.__dict__), entries, info.hits, info.misses)
    return (
        make_lru_cache,
        (function, parameters["maxsize"], parameters["typed"]),
        state,
        None,
        None,
        fill_lru_cache,
    )


def _remembered(referents: list[Any], size: int, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    hint = "call its cache_clear() before the step ends"
    limited = parameters["maxsize"] is not None
    caches = [r for r in referents if type(r) is dict and len(r) == size and _is_cache(r, limited=limited)]
    if not caches or parameters["typed"]:
        raise carried.CannotTravel("a filled lru_cache of a kind that cannot be read", hint)
    if not limited:
        return [(*_arguments(key), result) for key, result in caches[0].items()]
    return [(*_arguments(key), result) for key, result in _oldest_first(caches[0], referents, hint)]


def _is_cache(found: dict[Any, Any], *, limited: bool) -> bool:
    """A cache of limited size holds links; what the function has returned may be a dict as well."""
    return not limited or all(type(held).__name__ == "_lru_list_elem" for held in found.values())


def _oldest_first(cache: dict[Any, Any], referents: list[Any], hint: str) -> list[tuple[Any, Any]]:
    """Keys and results of a cache of limited size, what it will forget first in front.

    Python visits them in that order, each with the type of the link that holds them.
    """
    link = type(next(iter(cache.values())))
    first = referents.index(link) - 2 if link in referents else -1
    triples = referents[max(first, 0) :][: 3 * len(cache)]
    if first < 0 or triples[2::3] != [link] * len(cache) or any(key not in cache for key in triples[0::3]):
        raise carried.CannotTravel("a filled lru_cache of a kind that cannot be read", hint)
    return list(zip(triples[0::3], triples[1::3], strict=True))


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
        raise carried.CannotTravel(
            "a filled lru_cache around something that is no function", "call its cache_clear()"
        )
    wrapper.__dict__.update(attributes)


def _fill(
    wrapper: Any,
    function: types.FunctionType,
    answer: Any,
    answers: list[Any],
    entries: list[Any],
    hits: int,
    misses: int,
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
    exec(source, scope)
    code: types.CodeType = scope["outer"]().__code__
    return code


def reduce_single_dispatch(wrapper: types.FunctionType) -> Reduced:
    """A ``functools.singledispatch`` function with everything registered on it."""
    registry = wrapper.registry  # type: ignore[attr-defined]
    extra = {
        k: v
        for k, v in wrapper.__dict__.items()
        if k not in ("register", "dispatch", "registry", "_clear_cache")
    }
    return (
        make_single_dispatch,
        (registry[object],),
        (dict(registry), extra),
        None,
        None,
        fill_single_dispatch,
    )


def make_single_dispatch(default: Callable[..., Any]) -> Any:
    """The generic function with its default alone."""
    return functools.singledispatch(default)


def fill_single_dispatch(wrapper: Any, state: tuple[dict[type, Callable[..., Any]], dict[str, Any]]) -> None:
    """Register everything again, in the same order."""
    registry, extra = state
    for cls, function in registry.items():
        wrapper.register(cls, function)
    wrapper.__dict__.update(extra)


def reduce_key_wrapper(wrapper: Any) -> Reduced:
    """What ``functools.cmp_to_key`` made of a function."""
    held = [part for part in gc.get_referents(wrapper) if part is not type(wrapper)]
    if len(held) != 1:
        raise carried.CannotTravel("a key that cmp_to_key has made", "compare in the step that makes it")
    return functools.cmp_to_key, (held[0],)
