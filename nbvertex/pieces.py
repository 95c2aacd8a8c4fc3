"""The Python of a cell, that inside its commands included: `%%time` and `%%capture` run their body in the cell's own names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nbvertex.ipython_commands import method, understand
from nbvertex.ipython_syntax import read


@dataclass(frozen=True, slots=True)
class Text:
    """Some Python of a cell.

    Args:
        python: the code.
        tree: what it parses to.
        above: the lines of the cell that stand above it.
    """

    python: str
    tree: ast.Module
    above: int


def texts(python: str) -> Iterator[Text]:
    """The Python of a cell: all of it first, then what stands in commands that run it in the cell's own names.

    Args:
        python: the cell after IPython's transform.
    """
    waiting = [(python, 0)]
    while waiting:
        source, above = waiting.pop(0)
        code = read(source)
        if code.tree is None:
            continue
        yield Text(code.python, code.tree, above)
        if "get_ipython" not in code.python:
            continue
        for node in ast.walk(code.tree):
            if not isinstance(node, ast.Call) or not method(node):
                continue
            command = understand(method(node), node)
            for piece in command.pieces if command else ():
                if piece.python.strip() and not piece.apart:
                    waiting.append((piece.python, above + node.lineno - 1 + piece.below))
