"""What a cell does to names and to the world outside them, read from its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nbvertex import names
from nbvertex.ipython_syntax import Code, Trouble, read, silent
from nbvertex.normal_form import digest
from nbvertex.pipeline import Facts
from nbvertex.playing import play
from nbvertex.requirement_lines import runnable
from nbvertex.stage import Outcome, Stage
from nbvertex.trace import Trace
from nbvertex.walk import Walker

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
    shows: bool = False
    trace: Trace = field(default_factory=Trace, repr=False, compare=False)


def analyse(source: str, modules: Mapping[str, str] | None = None) -> Analysis:
    """What a cell does.

    Args:
        source: the cell as the user wrote it.
        modules: what names are known to be when it starts: the ``modules`` of the cells before.
    """
    modules = modules or {}
    code = read(source)
    if code.tree is None:
        return Analysis(problem=code.trouble, digest=digest(code, source), python=code.python)
    walker = Walker(
        future=modules.get("annotations") == "__future__.annotations", walrus=":=" in code.python
    )
    walker.block(code.tree.body)
    walker.finish()
    trouble = _trouble(code) if walker.suspicious else None
    stage = Stage(modules)
    outcome = play(stage, walker.trace)
    return _told(code, walker.trace, stage, outcome, digest(code, source), trouble)


def _trouble(code: Code) -> Trouble | None:
    """What only Python's compiler finds: a return outside a function, a name both global and parameter."""
    try:
        compile(code.python, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return Trouble(error.lineno or 1, error.msg)
    return None


def _told(
    code: Code, trace: Trace, stage: Stage, outcome: Outcome, meaning: str, trouble: Trouble | None
) -> Analysis:
    """What was found, in names."""
    reads = {name: line or _line_in(trace, name) for name, line in outcome.reads.items()}
    for name in outcome.expressions:
        reads.setdefault(name, 1)
    binds = {**trace.binds, **outcome.binds}
    for function in trace.functions.values():
        binds = {**function.trace.binds, **binds}
    changed = _named(stage, outcome, outcome.changed)
    handed = _named(stage, outcome, outcome.handed)
    for name in _aliased(stage, outcome):
        handed.setdefault(name, reads.get(name, 1))
    for function in trace.functions.values():
        changed = {**function.trace.binds, **changed}
    bound = (set(stage.env) & set(binds)) | set(outcome.binds)
    still = {name for name in binds if name not in trace.gone}
    facts = Facts(
        reads=_sorted(reads),
        binds=_sorted(still),
        surely=_sorted(trace.sure - set(reads)),
        mutates=_sorted(changed),
        touches=_sorted(set(handed) - set(changed)),
        deletes=_sorted(trace.deletes),
        everything=bool(outcome.everything),
        outside=_sorted({kind for kind, _, _ in outcome.state if kind != "imports"}),
        imports=_sorted(trace.imports),
        requirements=tuple(dict.fromkeys(trace.requirements)),
        files_read=_sorted({what for kind, what, mode in outcome.state if kind == "files" and what and mode != "write"}),
        files_written=_sorted({what for kind, what, mode in outcome.state if kind == "files" and what and mode != "read"}),
        is_async=trace.is_async,
    )
    del bound
    return Analysis(
        facts=facts,
        reads_at=reads,
        binds_at=binds,
        mutates_at=changed,
        deletes_at=trace.deletes,
        problem=trouble,
        digest=meaning,
        python=code.python,
        late=frozenset(outcome.late),
        optional=frozenset(trace.optional | outcome.expressions) & frozenset(reads),
        builtins=frozenset(name for name in trace.reads if name in names.BUILTINS and name not in reads),
        modules={name: _known(stage, name) for name in still},
        shows=bool(code.tree and code.tree.body and isinstance(code.tree.body[-1], ast.Expr) and not silent(code)),
        trace=trace,
    )


def _sorted(items: object) -> tuple[str, ...]:
    return tuple(sorted(items))  # type: ignore[call-overload, no-any-return]


def _line_in(trace: Trace, name: str) -> int:
    """The line in a function of the cell that reads a name."""
    lines = [function.trace.reads[name] for function in trace.functions.values() if name in function.trace.reads]
    return min(lines, default=1)


def _named(stage: Stage, outcome: Outcome, objects: Mapping[int, int]) -> dict[str, int]:
    """The names of some objects, with the line that is told for them."""
    out: dict[str, int] = {}
    if not objects:
        return out
    holders = {name: value.at for name, value in outcome.given.items()}
    for name in outcome.binds:
        if name in stage.env:
            holders[name] = holders.get(name, 0) | stage.env[name].at
    for name, mask in holders.items():
        lines = [line for number, line in objects.items() if mask >> number & 1]
        if lines:
            out[name] = min(lines)
    return out


def _aliased(stage: Stage, outcome: Outcome) -> set[str]:
    """Names whose objects the cell gives further names, or puts into other objects."""
    shared = 0
    for name in outcome.binds:
        value = stage.env.get(name)
        if value is not None:
            shared |= stage.reach(value.all) & ~(outcome.given[name].at if name in outcome.given else 0)
    for value in outcome.given.values():
        shared |= stage.reach(value.all) & ~value.all
    return {name for name, value in outcome.given.items() if value.at & shared}


def _known(stage: Stage, name: str) -> str:
    """What a name is known to hold: a module, a thing of it, or a type of object."""
    value = stage.env.get(name)
    if value is None:
        return ""
    return value.path or stage.kind(value)


__all__ = ["BUILTINS", "Analysis", "analyse", "runnable"]
