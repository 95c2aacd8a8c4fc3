"""Names that nothing gives: read by a cell, but bound by no cell before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nbvertex.dataflow import Analysis
from nbvertex.errors import Place, Problem, nearest
from nbvertex.ipython_syntax import parsed


@dataclass(frozen=True, slots=True)
class Seen:
    """A code cell, for this question.

    Args:
        position, step: where it is.
        analysis: what it does.
        skipped: it does not run.
        may_fail: nobody minds if it fails.
    """

    position: int
    step: str
    analysis: Analysis
    skipped: bool = False
    may_fail: bool = False


def find(notebook: str, cells: Sequence[Seen], *, severity: str) -> Iterator[Problem]:
    """The names that will be missing when the notebook runs without its skipped cells.

    Args:
        notebook: the file as the user named it.
        cells: all code cells, in notebook order.
        severity: of the problems; a name that is read only under a condition is no more than a warning.
    """
    running = [cell for cell in cells if not cell.skipped]
    ever = {name for cell in running for name in cell.analysis.facts.binds}
    anything = any(cell.analysis.facts.everything for cell in running)
    before: set[str] = set()
    unknown = False  # some cell so far may have bound any name
    for cell in running:
        facts = cell.analysis.facts
        unknown = unknown or facts.everything
        for name in () if unknown or cell.may_fail or cell.analysis.problem else facts.reads:
            late = name in cell.analysis.late
            known = name in before or name in facts.binds or (late and (anything or name in ever))
            if not known:
                yield _problem(notebook, cell, name, cells, ever, before, severity)
        before.update(facts.binds)


def _problem(
    notebook: str,
    cell: Seen,
    name: str,
    cells: Sequence[Seen],
    ever: set[str],
    before: set[str],
    severity: str,
) -> Problem:
    place = Place(notebook, cell.position, cell.analysis.reads_at.get(name), cell.step)
    above = [other for other in cells if other.position < cell.position]
    skipped = next((c for c in reversed(above) if c.skipped and name in c.analysis.facts.binds), None)
    if skipped is not None:
        return Problem(
            "skipped-name",
            f"`{name}` is defined only in cell {skipped.position}, which is skipped",
            place,
            f"take the tag `skip` off cell {skipped.position}, or define `{name}` in a cell that runs",
            severity,
        )
    if severity == "error" and not _sure(cell.analysis.python, name):
        severity = "warning"
    if name in ever:
        later = next(c.position for c in cells if not c.skipped and name in c.analysis.facts.binds)
        return Problem(
            "undefined-name",
            f"`{name}` is read before it is defined, in cell {later}",
            place,
            f"move cell {later} up",
            severity,
        )
    near = nearest(name, before)
    hint = f"did you mean `{near}`?" if near else "define it, or import it, in a cell above"
    return Problem("undefined-name", f"`{name}` is defined nowhere", place, hint, severity)


def _sure(python: str, name: str) -> bool:
    """The name is read whenever the cell runs, or by a function; not only in a branch, or where a failure is caught."""
    waiting: list[ast.AST] = [parsed(python)]
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Name(id=found, ctx=ast.Load()) if found == name:
                return True
            case (
                ast.If(test=first) | ast.While(test=first) | ast.IfExp(test=first) | ast.Match(subject=first)
            ):
                waiting.append(first)
            case ast.For(iter=first) | ast.AsyncFor(iter=first) | ast.BoolOp(values=[first, *_]):
                waiting.append(first)
            case ast.Try(finalbody=last) | ast.TryStar(finalbody=last):
                waiting += last
            case _:
                waiting += ast.iter_child_nodes(node)
    return False
