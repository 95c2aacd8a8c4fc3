"""Which steps must have ended before another begins, where nobody can throw its result away afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbvertex import grammar
from nbvertex.early import Early, writes_files
from nbvertex.pipeline import Pipeline
from nbvertex.plan import Planned
from nbvertex.runtime import history


@dataclass(frozen=True, slots=True)
class Before:
    """What comes before a step.

    Args:
        all: the places of every step that it may see something of, in notebook order.
        direct: those among them that no other of them comes after.
    """

    all: tuple[int, ...]
    direct: tuple[int, ...]


def before(pipeline: Pipeline, steps: Sequence[Planned]) -> tuple[Before, ...]:
    """What comes before each step, on the safe side: what only may flow counts like what does.

    The last step comes after all others: it is told what each of them was given, and so finds out whether any
    two ran side by side that should not have.

    Args:
        pipeline: its flows are the arrows.
        steps: all of its steps, planned.
    """
    early = Early(steps)
    places = {step.name: place for place, step in enumerate(pipeline.steps)}
    above: list[set[int]] = []
    for place, planned in enumerate(steps):
        own = {places[flow.source] for flow in pipeline.flows if flow.target == planned.name}
        own |= set(planned.needs)
        own |= {
            other.index
            for other in steps[:place]
            if not early.lets_pass(other) or writes_files(other.step.facts)
        }
        own |= {other.index for other in steps[:place] if any(cell.may_fail for cell in other.step.cells)}
        own |= {other.index for other in steps[:place] if _binds_what_it_takes(other, planned)}
        if place == len(steps) - 1 or _comes_after_all(planned, early):
            own = set(range(place))
        own = {source for source in own if source < place}
        above.append(own.union(*(above[source] for source in own)))
    return tuple(
        Before(
            tuple(sorted(mine)),
            tuple(sorted(mine - set().union(*(above[source] for source in mine)))),
        )
        for mine in above
    )


def _binds_what_it_takes(other: Planned, planned: Planned) -> bool:
    """Whether a step is handed a name of another's that it does not read by itself: it deletes it, or a function reads it."""
    return not {*(planned.wanted or ()), *_marks(planned)}.isdisjoint(other.step.facts.binds)


def _marks(planned: Planned) -> tuple[str, ...]:
    """The names that the marks on a step read; those that a round leaves alone hold what they held before."""
    when, each = planned.step.options.when, planned.step.options.each
    looped = (each.source, *each.gathers) if each else ()
    return (*(grammar.names(when.test) if when else ()), *looped)


def _comes_after_all(planned: Planned, early: Early) -> bool:
    """Whether a step must not be run beside an earlier one at all."""
    kept = planned.live
    return not early.may_start(planned) or kept is None or any(map(history.is_one, kept))
