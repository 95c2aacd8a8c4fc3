"""What was played on a stage, told in names and lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nbvertex import names
from nbvertex.pipeline import Facts
from nbvertex.stage import Outcome, Stage
from nbvertex.trace import Trace

HIDDEN = frozenset({"imports", "chance"})  # kinds of state that only the arrows between steps ask for


@dataclass(frozen=True, slots=True)
class Told:
    """What a cell did.

    Args:
        facts: for the model.
        reads, binds, changes: names, with the line.
        bound: names that it may leave bound, by its own code or by functions that it calls.
        defined: names that only functions defined here read, and nobody has called yet.
    """

    facts: Facts
    reads: Mapping[str, int]
    binds: Mapping[str, int]
    changes: Mapping[str, int]
    bound: frozenset[str]
    defined: frozenset[str]


def tell(stage: Stage, outcome: Outcome, trace: Trace) -> Told:
    """What the cell that was played last did."""
    inside = list(_bodies(trace))
    reads = {name: line or _line(inside, name) for name, line in outcome.reads.items()}
    for name in outcome.expressions:
        reads.setdefault(name, 1)
    within: dict[str, int] = {}  # what functions of the cell bind by `global`
    for body in inside[1:]:
        within = {**body.binds, **within}
    binds = {**within, **outcome.doubtful, **outcome.binds, **trace.binds}
    changes = {
        **{name: line for name, line in within.items() if name in outcome.given},
        **_named(stage, outcome, outcome.changed),
    }
    given = {**outcome.handed, **outcome.consumed}
    touches = {*_named(stage, outcome, given), *_shared(stage, outcome), *_parts(stage, outcome)}
    bound = frozenset({*outcome.doubtful, *outcome.binds} - set(trace.binds) | trace.left)
    files = [(what, mode) for kind, what, mode in outcome.state if kind == "files" and what]
    facts = Facts(
        reads=_sorted(reads),
        binds=_sorted(bound | set(within) - set(trace.binds)),
        surely=_sorted(trace.sure - set(reads)),
        mutates=_sorted(changes),
        touches=_sorted(touches - set(changes)),
        deletes=_sorted(outcome.deletes),
        everything=bool(outcome.everything),
        outside=_sorted({kind for kind, _, _ in outcome.state} - HIDDEN),
        imports=_sorted(trace.imports),
        stars=_sorted(trace.stars),
        requirements=tuple(dict.fromkeys(trace.requirements)),
        files_read=_sorted({what for what, mode in files if mode != "write"}),
        files_written=_sorted({what for what, mode in files if mode != "read"}),
        is_async=trace.is_async,
    )
    defined = frozenset(name for name, line in outcome.reads.items() if not line)
    return Told(facts, reads, binds, changes, bound, defined)


def builtins_read(trace: Trace, reads: Mapping[str, int]) -> frozenset[str]:
    """The names of Python's own and IPython's that a cell uses as such."""
    every = set(trace.reads)
    for function in trace.functions.values():
        every |= set(function.trace.needs)
    return frozenset(name for name in every if name in names.BUILTINS and name not in reads)


def _bodies(trace: Trace) -> Iterator[Trace]:
    """A trace, and those of the functions in it and in them."""
    yield trace
    for function in trace.functions.values():
        yield from _bodies(function.trace)


def _sorted(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(items))


def _line(inside: Iterable[Trace], name: str) -> int:
    """The line in a function of the cell that reads a name."""
    return min((body.needs[name] for body in inside if name in body.needs), default=1)


def _named(stage: Stage, outcome: Outcome, objects: Mapping[int, int]) -> dict[str, int]:
    """The names of some objects, with the line that is told of them."""
    if not objects:
        return {}
    holders = {name: value.at for name, value in outcome.given.items()}
    for name in (*outcome.binds, *outcome.doubtful):
        if name in stage.env:
            holders[name] = holders.get(name, 0) | stage.env[name].at
    out: dict[str, int] = {}
    for name, mask in holders.items():
        lines = [line for number, line in objects.items() if mask >> number & 1]
        if lines:
            out[name] = min(lines)
    return out


def _parts(stage: Stage, outcome: Outcome) -> set[str]:
    """Names that hold something inside of an object that is changed or handed on."""
    mask = 0
    for number in (*outcome.changed, *outcome.handed):
        mask |= 1 << number
    holders = {**{name: stage.env[name] for name in outcome.binds if name in stage.env}, **outcome.given}
    return {name for name, value in holders.items() if value.within & mask}


def _shared(stage: Stage, outcome: Outcome) -> set[str]:
    """Names whose objects got a further name in the cell, or lie in other objects now."""
    shared = 0
    for name in outcome.binds:
        value = stage.env.get(name)
        if value is not None:
            own = outcome.given[name].at if name in outcome.given else 0
            shared |= stage.reach(value.all) & ~own
    for value in outcome.given.values():
        shared |= stage.reach(value.all) & ~value.all
    return {name for name, value in outcome.given.items() if value.at & shared}
