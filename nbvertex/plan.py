"""Which steps a run executes, on which names, after which steps, with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbvertex.errors import UsageError
from nbvertex.pipeline import Pipeline, Step

Given = tuple[tuple[int, str, object], ...]  # after which cell, name, value


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a step that runs over a list.

    Args:
        place: of the step in the pipeline.
        number: of the round, counted from 1.
        name: what the item is bound to.
        shown: the item in a few words.
        digest: tells the item from others.
        item: it, pickled, in base64; None where it has to be taken from its list.
        source: the name of that list.
    """

    place: int
    number: int
    name: str
    shown: str
    digest: str
    item: str | None = None
    source: str = ""

    @property
    def told(self) -> str:
        """``lr = 0.1``."""
        return f"{self.name} = {self.shown}"


@dataclass(frozen=True, slots=True)
class Planned:
    """A step and what it takes to run it.

    Args:
        index: its place in the pipeline, counted from 0.
        step: the step.
        code: its cells' digests in one.
        wanted: the names it loads; None: all.
        live: the names that are kept when it ends; None: all.
        needs: the places of the steps that must have ended before.
        given: the parameters injected into it, after which cell each.
        last: nothing comes after it, so that what lives on in its process harms nobody.
        round: which round of the step this is, where it runs over a list; None: the step itself.
    """

    index: int
    step: Step
    code: str
    wanted: tuple[str, ...] | None
    live: tuple[str, ...] | None
    needs: tuple[int, ...]
    given: Given
    last: bool = False
    round: Round | None = None

    @property
    def name(self) -> str:
        return self.step.name

    @property
    def place(self) -> int:
        """The place of its step in the pipeline."""
        return self.index if self.round is None else self.round.place

    @property
    def space(self) -> str:
        """What the entries that it makes are called after; the same for all rounds, so that equal ones are alike."""
        return self.step.name if self.round is None else f"{self.step.name}[]"

    @property
    def identity(self) -> str:
        """What its code and its marks mean, in one line: a run that goes on must find it unchanged."""
        options = self.step.options
        marks = [f"{n}:{m.text}" for n, m in (("when", options.when), ("each", options.each)) if m]
        if self.round is not None:
            marks = [f"{self.round.name}:{self.round.digest}"]
        return " ".join([self.code, *marks])


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Args:
        steps: every step of the pipeline, in notebook order.
        first, end: the steps from ``first`` up to and without ``end`` are run.
    """

    steps: tuple[Planned, ...]
    first: int
    end: int


def make(
    pipeline: Pipeline, parameters: Mapping[str, object], *, only: str | None = None, start: str | None = None
) -> Plan:
    """Plan a run.

    Args:
        pipeline: what is run.
        parameters: the values given, by name.
        only: run this step alone.
        start: run from this step on.

    Raises:
        UsageError: there is no such step.
    """
    places = {step.name: index for index, step in enumerate(pipeline.steps)}
    given = _given(pipeline, parameters)
    greedy = max((index for index, step in enumerate(pipeline.steps) if step.facts.everything), default=-1)
    steps = tuple(
        Planned(
            index=index,
            step=step,
            code=code_of(step),
            wanted=wanted(step),
            live=None if index < greedy else step.live,
            needs=_needs(step, places),
            given=given.get(index, ()),
            last=index == len(pipeline.steps) - 1,
        )
        for index, step in enumerate(pipeline.steps)
    )
    if only is not None:
        place = _place(places, only)
        return Plan(steps, place, place + 1)
    return Plan(steps, _place(places, start) if start is not None else 0, len(steps))


def code_of(step: Step) -> str:
    """What the code of a step means, in one line; equal for equal code."""
    return "+".join(f"{cell.digest}{'?' if cell.may_fail else ''}" for cell in step.cells)


def wanted(step: Step) -> tuple[str, ...] | None:
    """The names whose values a step must find when it begins; None: all."""
    facts = step.facts
    if facts.everything:
        return None
    return tuple(sorted({*facts.reads, *facts.mutates, *facts.touches, *facts.deletes}))


def missing_names(kept: tuple[str, ...] | None, needed: tuple[str, ...] | None) -> list[str]:
    """The names that are needed and were not kept; None stands for all names."""
    if kept is None:
        return []
    if needed is None:
        return ["every name"]
    return sorted(set(needed) - set(kept))


METRICS = "metrics"  # the name of a dict of numbers that counts without a mark


def measures(step: Step) -> tuple[str, ...]:
    """The names whose numbers are told when the step ends."""
    bound = (METRICS,) if METRICS in step.facts.binds or METRICS in step.facts.mutates else ()
    return tuple(dict.fromkeys((*step.options.metrics, *bound)))


def _needs(step: Step, places: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sorted({places[name] for name in (*step.needs, *step.options.after)}))


def _given(pipeline: Pipeline, parameters: Mapping[str, object]) -> dict[int, Given]:
    """Place of a step -> the values injected into it, each after the cells that declare its name."""
    owner = {cell.position: place for place, step in enumerate(pipeline.steps) for cell in step.cells}
    declared = {parameter.name: (parameter.cell, *parameter.again) for parameter in pipeline.parameters}
    found: dict[int, Given] = {}
    for name, value in parameters.items():
        for cell in declared.get(name, (pipeline.parameters_cell,)):
            place = owner.get(cell, 0)
            found[place] = (*found.get(place, ()), (cell if cell in owner else 0, name, value))
    return found


def _place(places: Mapping[str, int], name: str) -> int:
    if name not in places:
        raise UsageError(
            f"there is no step {name!r}", hint=f"the steps are {', '.join(places)}", code="unknown-step"
        )
    return places[name]
