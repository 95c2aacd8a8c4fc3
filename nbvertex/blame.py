"""Why two runs of a notebook differ: the name that carried the difference, and the likely cause."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

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
UNSET = re.compile(r"\b(np|numpy|torch)\.empty(_like)?\(|\bndarray\(")
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
        cell: the cell that shows the difference, or that made the value or file; 0: nobody knows.
        by_itself: the notebook differs from one straight run to the next as well.
    """

    said: str
    hint: str | None = None
    name: str | None = None
    straight: str = ""
    steps: str = ""
    cell: int = 0
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


def cell_of(pipeline: Pipeline, difference: Difference, written_by: Mapping[str, int]) -> int:
    """The cell that shows a difference, or that made the value or file that differs; 0: nobody knows.

    Args:
        pipeline: the notebook.
        difference: it.
        written_by: file -> the cell that wrote it.
    """
    if difference.position is not None or difference.name is None:
        return difference.position or 0
    if difference.kind == "file":
        folder = difference.name + "/"
        return next((cell for path, cell in written_by.items() if f"{path}/".startswith(folder)), 0)
    makers = [cell for step in pipeline.steps for cell in step.cells if difference.name in _makes(cell)]
    return max((cell.position for cell in makers), default=0)


def find(pipeline: Pipeline, difference: Difference, position: int, again: Again) -> Cause:
    """The likely cause of the first difference.

    Args:
        pipeline: the notebook.
        difference: it.
        position: the cell that shows or made it, before which the names were looked at.
        again: both runs once more.
    """
    return replace(_find(pipeline, difference, position, again), cell=position)


def _find(pipeline: Pipeline, difference: Difference, position: int, again: Again) -> Cause:
    cells = sorted((c for step in pipeline.steps for c in step.cells), key=lambda cell: cell.position)
    cell = next((cell for cell in cells if cell.position == position), None)
    if any(_is_same(difference, one) for one in again.apart.differences):
        return _by_itself(cell, cells)
    if cell is not None and UNSET.search(cell.source):
        said = (
            f"cell {cell.position} makes an array without setting it, which shows what was in memory before"
        )
        return Cause(said, f"use np.zeros, or tag cell {cell.position} `varies`", by_itself=True)
    if cell is None:
        return Cause("no cell is known to have made it")
    return _carried(cell, again) or _unseen(cell, pipeline)


def _is_same(one: Difference, two: Difference) -> bool:
    if one.position is not None or two.position is not None:
        return one.position == two.position
    return one.name == two.name


def _by_itself(cell: Cell | None, cells: list[Cell]) -> Cause:
    """The notebook varies: find the cell that brings chance in."""
    source = next((one for one in _behind(cell, cells) if BY_CHANCE.keys() & set(one.facts.outside)), None)
    said = "two straight runs differ there as well: "
    if source is None:
        which = (
            f"tag cell {cell.position} `varies`"
            if cell is not None
            else "tag the cell that makes it `varies`"
        )
        return Cause(f"{said}it differs from run to run", which, by_itself=True)
    why = next(words for kind, words in BY_CHANCE.items() if kind in source.facts.outside)
    seed = "seed the generator, or " if "random" in source.facts.outside else ""
    return Cause(
        f"{said}cell {source.position} {why}", f"{seed}tag cell {source.position} `varies`", by_itself=True
    )


def _behind(last: Cell | None, cells: list[Cell]) -> list[Cell]:
    """A cell and those that it depends on, the latest first."""
    if last is None:
        return []
    found, names = [last], _reads(last)
    for cell in reversed(cells[: cells.index(last)]):
        if _makes(cell) & names:
            found.append(cell)
            names |= _reads(cell)
    return found


def _makes(cell: Cell) -> set[str]:
    return {*cell.facts.binds, *cell.facts.mutates, *cell.facts.touches}


def _reads(cell: Cell) -> set[str]:
    return {*cell.facts.reads, *cell.facts.mutates, *cell.facts.touches}


def _carried(cell: Cell, again: Again) -> Cause | None:
    """The name that is not the same in both when the cell begins."""
    straight, steps = again.straight.before, again.steps.before
    if straight is None or steps is None:
        return None
    read = {*_reads(cell), *cell.facts.deletes}
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
    straight, steps = verify.both(one, two)
    return Cause(said, name=name, straight=straight, steps=steps)


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
