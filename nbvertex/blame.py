"""Why two runs of a notebook differ: the name that carried the difference, and the likely cause."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from nbvertex import verify
from nbvertex.pipeline import Cell, Pipeline
from nbvertex.sides import Side, Told
from nbvertex.verify import Compared, Difference

BY_CHANCE = {
    "random": "draws at random without a seed",
    "clock": "reads the clock",
    "network": "asks the network",
    "process": "asks other programs",
    "threads": "does not say in which order its threads run",
}
STATES = {
    "cwd": "the working folder",
    "environ": "environment variables",
    "random": "random generators",
    "modules": "attributes of modules or options of libraries",
    "files": "files",
    "display": "open figures or displays",
    "ipython": "IPython's own state",
    "process": "other programs",
    "threads": "threads",
    "signals": "signal handlers",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """What made the first difference.

    Args:
        said: one sentence.
        hint: what to do about it.
        name: the name that carried it, if one did.
        straight, steps: what that name held before the cell.
        by_itself: the notebook differs from one straight run to the next as well.
    """

    said: str
    hint: str | None = None
    name: str | None = None
    straight: str = ""
    steps: str = ""
    by_itself: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Both runs once more, with a look before the cell of the first difference.

    Args:
        straight, steps: the runs.
        apart: how the first straight run compares with the second.
    """

    straight: Side
    steps: Side
    apart: Compared


def find(pipeline: Pipeline, difference: Difference, again: Again) -> Cause:
    """The likely cause of the first difference.

    Args:
        pipeline: the notebook.
        difference: it.
        again: both runs once more.
    """
    cells = sorted((c for step in pipeline.steps for c in step.cells), key=lambda cell: cell.position)
    if any(_is_same(difference, one) for one in again.apart.differences):
        return _by_itself(difference, cells)
    cell = next((cell for cell in cells if cell.position == difference.position), None)
    if cell is None:
        return Cause(f"no cell shows it: {difference.what} differs only when all have run")
    return _carried(cell, again) or _unseen(cell, pipeline)


def _is_same(one: Difference, two: Difference) -> bool:
    if one.position is not None or two.position is not None:
        return one.position == two.position
    return one.name == two.name


def _by_itself(difference: Difference, cells: list[Cell]) -> Cause:
    """The notebook varies: find the cell that brings chance in."""
    if difference.kind == "value":
        makers = [c for c in cells if difference.name in {*c.facts.binds, *c.facts.mutates, *c.facts.touches}]
    elif difference.kind == "file":
        makers = [cell for cell in cells if "files" in cell.facts.outside]
    else:
        makers = [cell for cell in cells if cell.position == difference.position]
    reached = _behind(makers, cells)
    source = next((c for c in reached if c.facts.outside and BY_CHANCE.keys() & set(c.facts.outside)), None)
    kinds = [BY_CHANCE[kind] for kind in BY_CHANCE if source is not None and kind in source.facts.outside]
    why = f"cell {source.position} {kinds[0]}" if source is not None else "it differs from run to run"
    cell = source or (makers[-1] if makers else None)
    which = f"cell {cell.position}" if cell is not None else "the cell that makes it"
    seed = "seed the generator, or " if source is not None and "random" in source.facts.outside else ""
    return Cause(
        f"two straight runs differ there as well: {why}", f"{seed}tag {which} `varies`", by_itself=True
    )


def _behind(makers: list[Cell], cells: list[Cell]) -> list[Cell]:
    """These cells and those that they depend on, the latest first."""
    names: set[str] = set()
    found: list[Cell] = []
    wanted = {cell.position for cell in makers}
    for cell in reversed(cells):
        facts = cell.facts
        makes = {*facts.binds, *facts.mutates, *facts.touches}
        if cell.position in wanted or (makes & names and cell.position < max(wanted, default=0)):
            found.append(cell)
            names |= {*facts.reads, *facts.mutates, *facts.touches}
    return found


def _carried(cell: Cell, again: Again) -> Cause | None:
    """The name that is not the same in both when the cell begins."""
    straight, steps = again.straight.before, again.steps.before
    if straight is None or steps is None:
        return None
    facts = cell.facts
    read = {*facts.reads, *facts.mutates, *facts.touches, *facts.deletes}
    for names in (sorted(read), sorted(steps.keys() - read)):
        for name in names:
            one, two = straight.get(name), steps.get(name)
            if (one is not None or name in steps) and not verify.alike(one, two):
                return _of_name(name, one, two)
    return None


def _of_name(name: str, one: Told | None, two: Told | None) -> Cause:
    if two is None:
        said = f"`{name}` does not reach the step"
    elif one is None:
        said = f"`{name}` is bound in the step, though it is not any more when the notebook runs straight"
    elif one[0] != two[0]:
        said = f"`{name}` arrives as another type"
    else:
        said = f"`{name}` arrives with another value"
    return Cause(said, name=name, straight=verify.told(one), steps=verify.told(two))


def _unseen(cell: Cell, pipeline: Pipeline) -> Cause:
    """No name differs, so it is something outside the names."""
    step = next(step for step in pipeline.steps if any(one.position == cell.position for one in step.cells))
    states = _states(cell.facts.outside)
    if states:
        return Cause(f"no name that it reads differs; it uses state outside the names: {', '.join(states)}")
    return Cause(
        f"no name that it reads differs when it begins in step {step.name}",
        "it may depend on state that is not followed, or on what objects share",
    )


def _states(kinds: Collection[str]) -> list[str]:
    return [STATES[kind] for kind in kinds if kind in STATES]
