"""Tracebacks: each entry as its code, place and globals, put on frames that never ran."""

from __future__ import annotations

import ctypes
import functools
import sys
import types
from collections.abc import Callable
from typing import Any

from . import definitions

Entry = tuple[types.CodeType, Any, int, int, int]
"""Code, globals (None: the notebook's; a name: a module's; else a dict), last instruction, line, the frame's line."""


def reduce(trace: types.TracebackType) -> tuple[Any, ...]:
    """A traceback with all its entries; what the frames' local names held belongs to the process."""
    entries: list[Entry] = []
    entry: types.TracebackType | None = trace
    while entry is not None:
        frame = entry.tb_frame
        where = definitions.where(frame.f_globals)
        if isinstance(where, dict):  # only what says where the source is
            where = {name: where[name] for name in ("__name__", "__file__") if name in where}
        entries.append((frame.f_code, where, entry.tb_lasti, entry.tb_lineno, frame.f_lineno or 0))
        entry = entry.tb_next
    return make, (entries,)


def make(entries: list[Entry]) -> types.TracebackType | None:
    """The traceback again."""
    made: types.TracebackType | None = None
    for code, where, instruction, line, ended in reversed(entries):
        frame = _frame(code, definitions.live_globals(where))
        _set_line(frame, ended)
        made = types.TracebackType(made, frame, instruction, line)
    return made


class _Stop(BaseException):
    """Ends a function before its first instruction."""


def _frame(code: types.CodeType, live: dict[str, Any]) -> types.FrameType:
    """A frame of this code, of which nothing has run."""
    closure = tuple(types.CellType() for _ in code.co_freevars)
    function = types.FunctionType(code, live, code.co_name, None, closure)
    found: list[types.FrameType] = []

    def stop(frame: types.FrameType, event: str, argument: Any) -> None:
        if frame.f_code is code:
            found.append(frame)
            raise _Stop

    tracing = sys.gettrace()
    sys.settrace(stop)
    try:
        _begin(function, code)
    except _Stop:
        pass
    finally:
        sys.settrace(tracing)
    return found[0]


def _begin(function: Callable[..., Any], code: types.CodeType) -> None:
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    made = function(*[None] * code.co_argcount, **dict.fromkeys(names))
    if hasattr(made, "asend"):
        made = made.asend(None)
    made.send(None)  # a generator or a coroutine: only now it begins


_LINE = 48_271  # a number that stands nowhere else in a frame


@functools.cache
def _line_offset() -> int | None:
    """Where a frame keeps the line that it shows, if it has been set; None where no such place is found."""
    found: list[int] = []

    def look(frame: types.FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is not code:
            return None
        if event == "line":  # while a frame is traced, its line is there
            at = id(frame)
            found.extend(o for o in range(16, 80, 4) if ctypes.c_int.from_address(at + o).value == _LINE)
        return look

    code = compile("lambda: None", "<line>", "eval").co_consts[0].replace(co_firstlineno=_LINE)
    tracing = sys.gettrace()
    sys.settrace(look)
    try:
        types.FunctionType(code, {})()
    finally:
        sys.settrace(tracing)
    return found[0] if len(found) == 1 else None


def _set_line(frame: types.FrameType, line: int) -> None:
    """Let a frame that never ran show the line at which it ended, which IPython prints."""
    offset = _line_offset()
    if offset is not None and line:
        ctypes.c_int.from_address(id(frame) + offset).value = line
