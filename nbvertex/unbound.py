"""Names that nothing gives: read by a cell, but bound by no cell before it."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from nbvertex.dataflow import Analysis
from nbvertex.errors import Place, Problem, nearest
from nbvertex.names import given
from nbvertex.pieces import texts


@dataclass(frozen=True, slots=True)
class Seen:
    """A code cell, for this question.

    Args:
        position, step: where it is.
        analysis: what it does.
        skipped: it does not run.
        may_fail: nobody minds if it fails.
        given: the names that its step's marks bind before it.
    """

    position: int
    step: str
    analysis: Analysis
    skipped: bool = False
    may_fail: bool = False
    given: tuple[str, ...] = ()


def find(notebook: str, cells: Sequence[Seen], *, severity: str) -> Iterator[Problem]:
    """The names that will be missing when the notebook runs without its skipped cells.

    Args:
        notebook: the file as the user named it.
        cells: all code cells, in notebook order.
        severity: of the problems; a name that is read only under a condition is no more than a warning.
    """
    running = [cell for cell in cells if not cell.skipped]
    ever = {name for cell in running for name in cell.analysis.facts.binds}
    anything = any(_binds_anything(cell) for cell in running)
    before: set[str] = set()
    texted = False  # annotations are kept as text, which nobody need evaluate
    for cell in running:
        before.update(cell.given)
        if _binds_anything(cell):
            return  # from here on, any name may have been bound
        before |= _on_builtins(cell.analysis.python)
        texted = texted or bool(_TEXTED.search(cell.analysis.python))
        for name in _missing(cell, before):
            late = name in cell.analysis.late
            code = None if late and (anything or name in ever) else _Reads(cell.analysis.python, name, texted)
            line = code.line() if code else None
            if code and line is not None:
                place = Place(notebook, cell.position, line, cell.step)
                sure = code.sure()
                yield _problem(name, place, cells, before, severity if sure else "warning", severity)
        before.update(cell.analysis.facts.binds)


def _binds_anything(cell: Seen) -> bool:
    return cell.analysis.facts.everything or bool(cell.analysis.facts.stars)


def _missing(cell: Seen, before: Collection[str]) -> Iterator[str]:
    """The names that the cell reads and nothing so far has bound."""
    analysis = cell.analysis
    if cell.may_fail or analysis.problem:
        return
    for name in analysis.facts.reads:
        if not (name in before or name in analysis.facts.binds or name in analysis.optional or given(name)):
            yield name


def _problem(
    name: str, place: Place, cells: Sequence[Seen], before: Collection[str], severity: str, worst: str
) -> Problem:
    above = [
        cell for cell in cells if cell.position < (place.cell or 0) and name in cell.analysis.facts.binds
    ]
    if above:  # of the cells that run, none has bound it
        skipped = above[-1].position
        return Problem(
            "skipped-name",
            f"`{name}` is defined only in cell {skipped}, which is skipped",
            place,
            f"take the tag `skip` off cell {skipped}, or define `{name}` in a cell that runs",
            worst,
        )
    later = next((c.position for c in cells if not c.skipped and name in c.analysis.facts.binds), None)
    if later is not None:
        message, hint = f"`{name}` is read before it is defined, in cell {later}", f"move cell {later} up"
        return Problem("undefined-name", message, place, hint, severity)
    near = nearest(name, before)
    hint = f"did you mean `{near}`?" if near else "define it, or import it, in a cell above"
    return Problem("undefined-name", f"`{name}` is defined nowhere", place, hint, severity)


_TEXTED = re.compile(r"(?m)^\s*from\s+__future__\s+import\b.*\bannotations\b")


def _on_builtins(python: str) -> set[str]:
    """The names that a cell may make everybody's: ``builtins.x = 1``, ``setattr(builtins, "x", 1)``."""
    if "builtins" not in python:
        return set()
    found: set[str] = set()
    for text in texts(python):
        for node in ast.walk(text.tree):
            match node:
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    found.add(name)
                case ast.Constant(value=str(name)) if name.isidentifier():
                    found.add(name)
    return found


@dataclass(frozen=True, slots=True)
class _Reads:
    """Where a cell's code reads a name.

    Args:
        python: the code.
        name: in question.
        texted: its annotations are no code.
    """

    python: str
    name: str
    texted: bool

    def line(self) -> int | None:
        """The first line; None where only the text of a magic or shell line has it, or an annotation."""
        found = (
            node.lineno + text.above
            for text in texts(self.python)
            for node in self._nodes(text.tree)
            if isinstance(node, ast.Name) and node.id == self.name and isinstance(node.ctx, ast.Load)
        )
        return min(found, default=None)

    def _nodes(self, tree: ast.AST) -> Iterator[ast.AST]:
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += self._children(node)

    def _children(self, node: ast.AST) -> Iterator[ast.AST]:
        left_out = ("annotation", "returns") if self.texted else ()
        for field, value in ast.iter_fields(node):
            if field not in left_out:
                parts = value if isinstance(value, list) else [value]
                yield from (part for part in parts if isinstance(part, ast.AST))

    def sure(self) -> bool:
        """It is read whenever the cell runs, or by a function; not only in a branch, or where a failure is caught."""
        waiting: list[ast.AST] = [text.tree for text in texts(self.python)]
        while waiting:
            node = waiting.pop()
            match node:
                case ast.Name(id=found, ctx=ast.Load()) if found == self.name:
                    return True
                case (
                    ast.If(test=first)
                    | ast.While(test=first)
                    | ast.IfExp(test=first)
                    | ast.Match(subject=first)
                ):
                    waiting.append(first)
                case ast.For(iter=first) | ast.AsyncFor(iter=first) | ast.BoolOp(values=[first, *_]):
                    waiting.append(first)
                case ast.Try(finalbody=last) | ast.TryStar(finalbody=last):
                    waiting += last
                case _:
                    waiting += self._children(node)
        return False
