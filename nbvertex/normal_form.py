"""The digest of what code means: not of its comments, its layout or the order of imports that stand together."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence

from nbvertex.ipython_syntax import Code, read, silent

PYTHON_BODIES = frozenset({"time", "timeit", "capture", "prun", "memit"})
_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}


def digest(code: Code, source: str) -> str:
    """SHA-256 of a cell's meaning; of its text where it is no code."""
    if code.tree is None:
        parts = ["text", source]
    else:
        parts = ["code", ";" if silent(code) else ""]
        _block(code.tree.body, parts)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _node(node: ast.AST, out: list[str]) -> None:
    """Write a node down: its kind and all that is in it, in order."""
    kind = type(node)
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = _FIELDS[kind] = tuple(name for name in kind._fields if name not in _SKIPPED)
    out.append(kind.__name__)
    if isinstance(node, ast.Call) and (body := _magic(node)) is not None:
        _list(node.args[:2], out)
        _block(body.body, out)
        return
    for name in fields:
        child = getattr(node, name, None)
        if isinstance(child, ast.AST):
            _node(child, out)
        elif not isinstance(child, list):
            out.append(repr(child))
        elif child and isinstance(child[0], ast.stmt):
            _block(child, out)
        elif child or name != "type_params":
            _list(child, out)


def _list(items: Sequence[object], out: list[str]) -> None:
    out.append("[")
    for item in items:
        if isinstance(item, ast.AST):
            _node(item, out)
        else:
            out.append(repr(item))
    out.append("]")


def _block(body: Sequence[ast.stmt], out: list[str]) -> None:
    """Statements in order; those imports that stand together, sorted."""
    out.append("{")
    run: list[ast.Import | ast.ImportFrom] = []
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            run.append(statement)
            continue
        if run:
            _imports(run, out)
            run = []
        _node(statement, out)
    if run:
        _imports(run, out)
    out.append("}")


def _imports(run: Sequence[ast.Import | ast.ImportFrom], out: list[str]) -> None:
    """Imports that stand together; their order counts only where two bind the same name."""
    lines: list[tuple[str, str, str]] = []
    for statement in run:
        module = (
            "import"
            if isinstance(statement, ast.Import)
            else "." * statement.level + (statement.module or "")
        )
        lines.extend((module, alias.name, alias.asname or "") for alias in statement.names)
    bound = [_binds(line) for line in lines]
    if len(set(bound)) == len(bound) and "*" not in bound:
        lines.sort()
    for line in lines:
        out.extend(("import", *line))


def _binds(line: tuple[str, str, str]) -> str:
    """The name an import binds; ``import a.b`` and ``import a.c`` do not get into each other's way."""
    _, name, other = line
    return other or name


def _magic(node: ast.Call) -> ast.Module | None:
    """The Python in a cell magic that only times it, or catches what it prints."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="run_cell_magic"),
            args=[ast.Constant(value=name), ast.Constant(), ast.Constant(value=str(body))],
        ) if name in PYTHON_BODIES:
            return read(body).tree
    return None
