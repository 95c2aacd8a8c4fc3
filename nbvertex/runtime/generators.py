"""Generators and coroutines that have not begun, or that are at their end; in between they cannot be copied."""

from __future__ import annotations

import gc
import inspect
import types
from typing import Any

from . import carried

Reduced = tuple[Any, ...]

KINDS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_PREFIX = {types.GeneratorType: "gi", types.CoroutineType: "cr", types.AsyncGeneratorType: "ag"}


def reduce(work: Any) -> Reduced:
    """What has not begun: the call that makes it; what has ended: that it has."""
    prefix = _PREFIX[type(work)]
    frame, code = getattr(work, f"{prefix}_frame"), getattr(work, f"{prefix}_code")
    if frame is None:
        return ended, (prefix, work.__name__, work.__qualname__)
    function = _function_of(work, code)
    if function is None or not _is_new(work, prefix, frame):
        raise carried.refusal(work)
    return again, (function, *_arguments(code, frame.f_locals), work.__name__, work.__qualname__)


def again(function: Any, args: tuple[Any, ...], keywords: dict[str, Any], name: str, qualname: str) -> Any:
    """The generator or coroutine that has not begun."""
    work = function(*args, **keywords)
    work.__name__, work.__qualname__ = name, qualname
    return work


def ended(prefix: str, name: str, qualname: str) -> Any:
    """One that is at its end."""
    work: Any = {"gi": _nothing, "cr": _no_answer, "ag": _no_items}[prefix]()
    if prefix == "ag":
        try:
            work.aclose().send(None)
        except StopIteration:
            pass  # so it says that it is closed
    else:
        work.close()
    work.__name__, work.__qualname__ = name, qualname
    return work


def _nothing() -> Any:
    yield from ()


async def _no_answer() -> None:
    pass


async def _no_items() -> Any:
    for _ in ():
        yield


def _is_new(work: Any, prefix: str, frame: types.FrameType) -> bool:
    if getattr(work, f"{prefix}_running"):
        return False
    suspended = getattr(work, f"{prefix}_suspended", None)  # async generators have it from 3.12 on
    begins = next(i.offset for i in _instructions(frame.f_code) if i.opname == "RESUME")
    return not suspended and frame.f_lasti < begins


def _instructions(code: types.CodeType) -> Any:
    import dis

    return dis.get_instructions(code)


def _function_of(work: Any, code: types.CodeType) -> types.FunctionType | None:
    """The function whose call has made it, which its frame keeps."""
    for one in gc.get_referents(work):
        if isinstance(one, types.FunctionType) and one.__code__ is code:
            return one
    return None


def _arguments(code: types.CodeType, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, from the names that it has bound."""
    names = list(code.co_varnames)
    plain, named = names[: code.co_argcount], names[code.co_argcount :][: code.co_kwonlyargcount]
    rest = names[code.co_argcount + code.co_kwonlyargcount :]
    args = tuple(given[name] for name in plain)
    keywords = {name: given[name] for name in named}
    if code.co_flags & inspect.CO_VARARGS:
        args += tuple(given[rest.pop(0)])
    if code.co_flags & inspect.CO_VARKEYWORDS:
        keywords.update(given[rest.pop(0)])
    return args, keywords
