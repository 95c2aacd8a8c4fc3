"""Steps whose name returns after other steps: all their cells run at their first place, if nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbvertex.deeds import Deed
from nbvertex.errors import Place, Problem
from nbvertex.outside import clash
from nbvertex.pipeline import Step


def problems(steps: Sequence[Step], deeds: Sequence[Deed]) -> Iterator[Problem]:
    """Cells that would run before cells above them, and so find or leave something else.

    Args:
        steps: in notebook order of their first cells.
        deeds: of all cells, in notebook order.
    """
    last = 0
    for place, deed in enumerate(deeds):
        last = max(last, deed.step)
        for other in deeds[:place] if deed.step < last else ():
            reason = _reason(other, deed, deeds[place + 1 :]) if other.step > deed.step else ""
            if reason:
                yield _problem(steps, other, deed, reason)
                break


def _reason(above: Deed, below: Deed, later: Sequence[Deed]) -> str:
    """What keeps two cells in order; empty where nothing does."""
    first = f"cell {above.cell.position}"
    for deed in (above, below):
        if deed.facts.everything:
            return f"cell {deed.cell.position} may read and write any name"
    for name in sorted(below.needed):
        if name in above.binds or name in above.outcome.deletes:
            return f"it reads `{name}`, which {first} sets"
    for name in sorted({*below.binds, *below.outcome.deletes}):
        if name in above.needed:
            return f"it sets `{name}`, which {first} reads"
        if name in above.binds and _wanted(name, later):
            return f"it sets `{name}`, which {first} sets too"
    shared = _shared(above, below) or _shared(below, above)
    if shared:
        return f"one of them changes, or may change, the object that the other has as `{shared}`"
    for state in above.outcome.state:
        for other in below.outcome.state:
            kind = clash(state, other)
            if kind:
                return f"both depend on the same state outside the names ({kind})"
    return ""


def _wanted(name: str, later: Sequence[Deed]) -> bool:
    """Whether some cell below reads the name before it is set again."""
    for deed in later:
        if name in deed.needed or deed.facts.everything:
            return True
        if name in deed.kills:
            return False
    return False


def _shared(writer: Deed, reader: Deed) -> str:
    """A name by which one cell meets an object that the other changes, or may change."""
    changed = 0
    for number in (*writer.outcome.changed, *writer.outcome.handed, *writer.outcome.consumed):
        changed |= 1 << number
    return next((name for name in sorted(reader.needed) if reader.met.get(name, 0) & changed), "")


def _problem(steps: Sequence[Step], above: Deed, below: Deed, reason: str) -> Problem:
    own, other = steps[below.step], steps[above.step]
    first, second = below.cell.position, above.cell.position
    return Problem(
        "step-returns",
        f"step `{own.name}` returns after step `{other.name}`, but cell {first} cannot run before cell {second}: {reason}",
        Place(cell=first, line=1, step=own.name),
        f"give cell {first} a step of its own",
    )
