"""A cell as it is run: lines that only ask for packages are read as requirements, and are not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nbvertex.ipython_commands import method, understand
from nbvertex.ipython_syntax import read


def runnable(source: str) -> str:
    """The cell without such lines; what is left stays on its line.

    Args:
        source: the cell as the user wrote it.
    """
    if "install" not in source:
        return source
    code = read(source)
    lines = source.splitlines(keepends=True)
    for line in _asking(code.tree) if code.tree is not None else ():
        _blank(lines, line - 1)
    return "".join(lines)


def _asking(tree: ast.Module) -> Iterator[int]:
    """The lines of commands that only ask for packages; also in a cell that is only timed or captured."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
            continue
        name = method(node.value)
        known = understand(name, node.value) if name else None
        if known is None:
            continue
        if known.requirements and not known.pieces:
            yield node.lineno
        for piece in known.pieces:
            inner = read(piece.python) if piece.below else None
            if inner is not None and inner.tree is not None:
                yield from (node.lineno + piece.below - 1 + line for line in _asking(inner.tree))


def _blank(lines: list[str], number: int) -> None:
    """Take a command out, with the lines it goes on; in a block, something must be left to run."""
    indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
    goes_on = True
    first = True
    while goes_on and number < len(lines):
        text = lines[number].rstrip("\r\n")
        end = lines[number][len(text) :]
        goes_on = text.endswith("\\")
        lines[number] = (f"{indent}pass" if indent and first else "") + end
        first = False
        number += 1
