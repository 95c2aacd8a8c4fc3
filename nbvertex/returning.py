"""Steps whose name returns after other steps: all their cells run at their first place, if nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbvertex.deeds import Deed
from nbvertex.errors import Place, Problem
from nbvertex.outside import Outside, Touch
from nbvertex.pipeline import Step

ORDERED = frozenset({"files", "random", "cwd", "environ", "modules", "ipython", "process", "threads", "signals"})


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
            reason = _clash(other, deed, deeds[place + 1 :]) if other.step > deed.step else ""
            if reason:
                yield _problem(steps, other, deed, reason)
                break


def _clash(above: Deed, below: Deed, later: Sequence[Deed]) -> str:
    """What keeps two cells in order; empty where nothing does."""
    if above.facts.everything or below.facts.everything:
        return "reads or writes names that cannot be told"
    for name in below.needed:
        if name in above.binds or name in above.told.facts.deletes:
            return f"reads `{name}`, which that sets"
    for name in below.binds:
        if name in above.needed:
            return f"sets `{name}`, which that reads"
        if name in above.binds and _wanted(name, later):
            return f"sets `{name}`, which that sets too"
    shared = _objects(above, below) or _objects(below, above)
    if shared:
        return f"works on the same object as that, `{shared}`"
    kind = _state(above, below)
    return f"depends on the same outside state as that ({kind})" if kind else ""


def _wanted(name: str, later: Sequence[Deed]) -> bool:
    """Whether some cell below reads the name before it is set again."""
    for deed in later:
        if name in deed.needed or deed.facts.everything:
            return True
        if name in deed.kills:
            return False
    return False


def _objects(writer: Deed, reader: Deed) -> str:
    """A name by which one cell meets an object that the other changes, or may change."""
    changed = {*writer.outcome.changed, *writer.outcome.handed, *writer.outcome.consumed}
    for name, mask in reader.met.items():
        if name in reader.needed and any(mask >> number & 1 for number in changed):
            return name
    return ""


def _state(above: Deed, below: Deed) -> str:
    """A kind of outside state for which their order counts."""
    outside = Outside()
    for state, line in above.outcome.state.items():
        outside.done(state, Touch(above.step, above.cell.position, line, state[0]))
    for state in below.outcome.state:
        for touch in outside.before(state):
            if touch.kind in ORDERED and not (touch.maybe and state[0] == "imports"):
                return touch.kind
    return ""


def _problem(steps: Sequence[Step], above: Deed, below: Deed, reason: str) -> Problem:
    own, other = steps[below.step], steps[above.step]
    first, second = below.cell.position, above.cell.position
    return Problem(
        "step-returns",
        f"step `{own.name}` returns after step `{other.name}`, but cell {first} cannot run before cell {second}: "
        f"it {reason}",
        Place(cell=first, line=1, step=own.name),
        f"give cell {first} a step of its own",
    )
