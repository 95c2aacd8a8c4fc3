"""What a cell does to names and to the world outside them, read from its source without running it."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nbvertex import names
from nbvertex.facts import builtins_read, tell
from nbvertex.ipython_syntax import Code, Trouble, read, silent
from nbvertex.normal_form import digest
from nbvertex.pipeline import Facts
from nbvertex.playing import play
from nbvertex.stage import Stage
from nbvertex.trace import Trace
from nbvertex.walk import Walker

DEEPEST = 100_000  # brackets within brackets, as frames
TOO_DEEP = "the cell is nested too deep to be read"
Lines: TypeAlias = Mapping[str, int]
BUILTINS = names.BUILTINS | names.SHELL


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one cell does.

    Args:
        facts: for the model.
        reads_at, binds_at, mutates_at, deletes_at: the first line for each name, as the user wrote the cell.
        problem: why the cell does not parse.
        digest: SHA-256 of the code's meaning.
        python: the source after IPython's transform, line for line.
        late: names among the reads that only a function needs, when it is called: they may be bound later.
        optional: names among the reads whose absence does no harm: guarded by ``except NameError``, or in the
            text of a command, which stays as it is.
        builtins: names of Python's and IPython's own that it reads; another cell may have bound them anew.
        modules: what the names that it binds are known to be afterwards (``pd: pandas``), empty for the others:
            put those of earlier cells together, the latest winning, and give them to the next.
        annotates: it gives a name of the notebook's a type (``x: int = 1``).
        shows: its last statement is an expression whose value IPython shows and keeps.
        trace: what happens in it, event by event.
    """

    facts: Facts = Facts()
    reads_at: Lines = field(default_factory=dict)
    binds_at: Lines = field(default_factory=dict)
    mutates_at: Lines = field(default_factory=dict)
    deletes_at: Lines = field(default_factory=dict)
    problem: Trouble | None = None
    digest: str = ""
    python: str = ""
    late: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    builtins: frozenset[str] = frozenset()
    modules: Mapping[str, str] = field(default_factory=dict)
    annotates: bool = False
    shows: bool = False
    trace: Trace = field(default_factory=Trace, repr=False, compare=False)


def analyse(source: str, modules: Mapping[str, str] | None = None) -> Analysis:
    """What a cell does.

    Args:
        source: the cell as the user wrote it.
        modules: what names are known to be when it starts: the ``modules`` of the cells before.
    """
    modules = modules or {}
    code = read(source, modules)
    if code.tree is None:
        return Analysis(problem=code.trouble, digest=digest(code, source), python=code.python)
    try:
        return _analysed(code, source, modules)
    except RecursionError:
        pass  # Python itself may still understand it: it takes less room for each bracket than this does
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST)
    try:
        return _analysed(code, source, modules)
    except RecursionError:
        text = Code(code.python, None)
        return Analysis(problem=Trouble(1, TOO_DEEP), digest=digest(text, source), python=code.python)
    finally:
        sys.setrecursionlimit(before)


def _analysed(code: Code, source: str, modules: Mapping[str, str]) -> Analysis:
    """What a cell that parses does."""
    assert code.tree is not None
    walker = Walker(future=modules.get("annotations") == "__future__.annotations", walrus=":=" in code.python)
    shows = not silent(code)
    walker.cell(code.tree.body, shows=shows)
    stage = Stage(modules)
    outcome = play(stage, walker.trace)
    told = tell(stage, outcome, walker.trace)
    return Analysis(
        facts=told.facts,
        reads_at=told.reads,
        binds_at=told.binds,
        mutates_at=told.changes,
        deletes_at=outcome.deletes,
        problem=walker.trouble or (_trouble(code) if walker.suspicious else None),
        digest=digest(code, source),
        python=code.python,
        late=frozenset(outcome.late),
        optional=frozenset(walker.trace.optional | outcome.expressions) & frozenset(told.reads),
        builtins=builtins_read(walker.trace, told.reads),
        modules={name: _known(stage, name) for name in told.facts.binds},
        annotates=any(isinstance(node, ast.AnnAssign) for node in ast.walk(code.tree)),
        shows=shows and bool(code.tree.body) and isinstance(code.tree.body[-1], ast.Expr),
        trace=walker.trace,
    )


def _trouble(code: Code) -> Trouble | None:
    """What only Python's compiler finds: a return outside a function, a name both global and parameter."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code.python, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return Trouble(error.lineno or 1, error.msg)
    return None


def _known(stage: Stage, name: str) -> str:
    """What a name is known to hold: a module, a thing of it, or a type of object."""
    value = stage.env.get(name)
    if value is None:
        return ""
    return value.path or stage.kind(value)


__all__ = ["BUILTINS", "Analysis", "analyse"]
