"""Code objects as the cell they were compiled from and the place in it, so that sources and tracebacks hold."""

from __future__ import annotations
import __future__

import linecache
import types
from collections.abc import Iterator
from typing import Any, TypeAlias

Path: TypeAlias = tuple[tuple[str, int], ...]
Places: TypeAlias = dict[tuple[str, int], list[tuple[int, Path, types.CodeType]]]

# The compiler flags that a `from __future__` line in an earlier cell leaves on for later ones.
_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag
_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, without importing ast

numbers: dict[
    str, int
] = {}  # file name -> number of its cell, for tracebacks; IPython's own where it has one
_trees: dict[tuple[str, str, int], list[types.CodeType]] = {}
_places: dict[tuple[str, str, int], Places] = {}


def describe(code: types.CodeType) -> tuple[str, Any]:
    """How to get the code again: ``("cell", (file name, source, number, ...))`` or ``("parts", (...))``.

    The second form serves code that no cell's source gives back exactly (made by exec, or changed since); where it is a
    cell's all the same, its source comes along: ``("piece", (file name, source, number, parts))``.
    """
    lines = linecache.cache.get(code.co_filename)
    if lines is not None and len(lines) == 4 and lines[1] is None:  # a cell: no time stamp, never stale
        source = "".join(lines[2])
        flags = code.co_flags & _FUTURE
        found = _find(code, code.co_filename, source, flags)
        number = numbers.get(code.co_filename)
        if found is not None:
            return "cell", (code.co_filename, source, number, flags, *found)
        return "piece", (code.co_filename, source, number, _parts(code))
    return "parts", _parts(code)


def restore(kind: str, data: Any) -> types.CodeType:
    """The code object that `describe` described; the cell's source is registered for tracebacks."""
    if kind == "parts":
        return types.CodeType(*data)
    filename, source, number, *rest = data
    if number is not None:
        numbers.setdefault(filename, number)
    if kind == "piece":
        remember(filename, source)
        return types.CodeType(*rest[0])
    flags, statement, path = rest
    code: types.CodeType = _statements(filename, source, flags)[statement]
    for name, ordinal in path:
        code = [c for c in _children(code) if c.co_name == name][ordinal]
    return code


def number_in(shell: Any) -> None:
    """Let tracebacks name the cells that earlier steps ran by their numbers."""
    global numbers
    numbers = getattr(shell.compile, "_filename_map", numbers)


def remember(filename: str, source: str) -> None:
    """Register a cell's source under its file name, as IPython does for the cells it runs."""
    if filename not in linecache.cache:
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)


def global_names(code: types.CodeType) -> frozenset[str]:
    """Every global name that the code, or a function in it, reads, binds or deletes when it runs."""
    found = _globals.get(code)
    if found is None:
        names = set(_own_globals(code))
        for child in _children(code):
            names |= global_names(child)
        found = _globals[code] = frozenset(names)
    return found


_globals: dict[types.CodeType, frozenset[str]] = {}


def _own_globals(code: types.CodeType) -> Iterator[str]:
    import dis

    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL_OPS:
            yield str(instruction.argval)


_GLOBAL_OPS = frozenset(
    {
        "LOAD_GLOBAL",
        "STORE_GLOBAL",
        "DELETE_GLOBAL",
        "LOAD_NAME",
        "LOAD_FROM_DICT_OR_GLOBALS",
    }
)


def _children(code: types.CodeType) -> list[types.CodeType]:
    return [const for const in code.co_consts if isinstance(const, types.CodeType)]


def _statements(filename: str, source: str, flags: int) -> list[types.CodeType]:
    """The code of every statement of a cell, each compiled alone as IPython does: it differs from the whole's."""
    import ast

    key = (filename, source, flags)
    if key not in _trees:
        remember(filename, source)
        try:
            parsed = compile(
                source, filename, "exec", flags | _TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST, dont_inherit=True
            )
            _trees[key] = [
                compile(ast.Module([node], []), filename, "exec", flags | _TOP_LEVEL_AWAIT, dont_inherit=True)
                for node in parsed.body
            ]
        except SyntaxError:
            _trees[key] = []
    return _trees[key]


def _find(code: types.CodeType, filename: str, source: str, flags: int) -> tuple[int, Path] | None:
    key = (filename, source, flags)
    if key not in _places:
        places: Places = {}
        for number, statement in enumerate(_statements(filename, source, flags)):
            for path, candidate in _codes(statement, ()):
                places.setdefault((candidate.co_name, candidate.co_firstlineno), []).append(
                    (number, path, candidate)
                )
        _places[key] = places
    for number, path, candidate in _places[key].get((code.co_name, code.co_firstlineno), ()):
        if candidate == code:
            return number, path
    return None


def _codes(code: types.CodeType, at: Path) -> Iterator[tuple[Path, types.CodeType]]:
    seen: dict[str, int] = {}
    for child in _children(code):
        ordinal = seen.get(child.co_name, 0)
        seen[child.co_name] = ordinal + 1
        path = (*at, (child.co_name, ordinal))
        yield path, child
        yield from _codes(child, path)


def _parts(code: types.CodeType) -> tuple[Any, ...]:
    return (
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_nlocals,
        code.co_stacksize,
        code.co_flags,
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_filename,
        code.co_name,
        code.co_qualname,
        code.co_firstlineno,
        code.co_linetable,
        code.co_exceptiontable,
        code.co_freevars,
        code.co_cellvars,
    )
