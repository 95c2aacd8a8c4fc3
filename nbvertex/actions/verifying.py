"""Run a notebook straight and as isolated steps, each in a clean folder, and compare."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nbvertex import aside, blame, config, straight, verify
from nbvertex.actions.reading import Opened
from nbvertex.actions.running import Given, resolve
from nbvertex.aside import Aside
from nbvertex.blame import Again, Cause
from nbvertex.errors import Refused, UsageError
from nbvertex.events import RunEvent
from nbvertex.pipeline import Json, Pipeline
from nbvertex.sides import Side
from nbvertex.verify import Compared
from nbvertex.workshop import Order, Workshop


@dataclass(frozen=True, slots=True)
class How:
    """How a notebook is verified.

    Args:
        jobs: how many steps compute at the same time.
        cwd: the folder to work in a copy of; None: the notebook's own.
        python: an interpreter, an environment's folder or a Jupyter kernel; None: this Python.
        yes: run it even if it creates something in the cloud.
    """

    jobs: int | None = None
    cwd: str | None = None
    python: str | None = None
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found.

    Args:
        opened: the notebook.
        folder: the folder whose copies it ran in.
        straight, steps: both runs; the steps may have refused to go on (``steps.refused``).
        aside: what was not compared.
        compared: what was found.
        cause: of the first difference.
        linked: files that a cell wrote to though they are no copies.
    """

    opened: Opened
    folder: Path
    straight: Side
    steps: Side
    aside: Aside
    compared: Compared
    cause: Cause | None
    linked: tuple[Path, ...] = ()


def run(
    opened: Opened,
    *,
    given: Given | None = None,
    how: How | None = None,
    on_event: Callable[[RunEvent], None] = lambda event: None,
) -> Verified:
    """Hold a notebook to the law: as steps it does what it does straight.

    Args:
        opened: the notebook.
        given: values for parameters.
        how: the rest of what may be said.
        on_event: hears what happens while it happens, in both runs.

    Raises:
        ParameterError, UsageError, Refused: before anything runs.
        StoreError: there is no room.
    """
    how = how or How()
    straight.need()
    if not how.yes:
        _refuse_to_pay_twice(opened)
    order = _order(opened, resolve(opened.pipeline, given or Given()), how)
    left_out = aside.find(opened.pipeline)
    with Workshop(order, on_event) as workshop:
        one = workshop.straight("straight")
        varying = {path: cell for path, cell in workshop.written_by.items() if cell in left_out.cells}
        left_out = replace(left_out, files=varying)
        two = workshop.steps("steps")
        compared, cause = verify.compare(opened.pipeline, one, two, left_out), None
        if compared.differences:
            compared, left_out, cause = _look_closer(workshop, opened.pipeline, left_out, one, two, compared)
        linked = tuple(sorted(workshop.linked))
        return Verified(opened, order.cwd, one, two, left_out, compared, cause, linked)


def straight_alone(opened: Opened, *, given: Given | None = None, how: How | None = None) -> Side:
    """Run a notebook straight in a clean copy of its folder, and nothing else.

    Args:
        opened: the notebook.
        given: values for parameters.
        how: the rest of what may be said.

    Raises:
        ParameterError, UsageError, Refused: before anything runs.
    """
    straight.need()
    order = _order(opened, resolve(opened.pipeline, given or Given()), how or How())
    with Workshop(order, lambda event: None) as workshop:
        return workshop.straight("straight")


def _order(opened: Opened, values: dict[str, Json], how: How) -> Order:
    from nbvertex.interpreters import resolve_python

    path = Path(opened.notebook.path).absolute()
    folder = Path(how.cwd).absolute() if how.cwd is not None else path.parent
    if not folder.is_dir():
        raise UsageError(f"--cwd: there is no folder {how.cwd}")
    return Order(
        pipeline=opened.pipeline,
        notebook=Path(opened.notebook.path),
        parameters=values,
        cwd=folder.resolve(),
        python=resolve_python(how.python) if how.python else sys.executable,
        jobs=how.jobs or config.load(path).jobs,
    )


def _look_closer(
    workshop: Workshop, pipeline: Pipeline, left_out: Aside, one: Side, two: Side, compared: Compared
) -> tuple[Compared, Aside, Cause | None]:
    """Run it straight once more: what only tells the time is set aside; of all else the cause is found."""
    watched = blame.cell_of(pipeline, compared.differences[0], workshop.written_by)
    again = workshop.straight("straight-again", watched=watched)
    apart = verify.compare(pipeline, one, again, left_out)
    timed = _without_times(pipeline, workshop.written_by, left_out, apart)
    without = verify.compare(pipeline, one, two, timed)
    if not without.differences:
        return without, timed, None
    if without.differences[0] != compared.differences[0]:  # the first one only tells the time
        compared, left_out = without, timed
        watched = blame.cell_of(pipeline, compared.differences[0], workshop.written_by)
        again = workshop.straight("straight-once-more", watched=watched)
        apart = verify.compare(pipeline, one, again, left_out)
    steps = workshop.steps("steps-again", watched=watched)
    cause = blame.find(pipeline, compared.differences[0], watched, Again(again, steps, apart))
    return compared, left_out, cause


def _without_times(
    pipeline: Pipeline, written_by: Mapping[str, int], left_out: Aside, apart: Compared
) -> Aside:
    """What else is set aside: what tells the time, and differs from one straight run to the next."""
    timed = aside.find(pipeline, times=True)
    cells = {one.position for one in apart.differences}
    names = {one.name for one in apart.differences}
    files = {path: cell for path, cell in written_by.items() if cell in timed.cells and path in names}
    return Aside(
        {**left_out.cells, **{cell: why for cell, why in timed.cells.items() if cell in cells}},
        {**left_out.names, **{name: cell for name, cell in timed.names.items() if name in names}},
        {**left_out.files, **files},
    )


def _refuse_to_pay_twice(opened: Opened) -> None:
    from nbvertex import cloud

    cells = cloud.creating(opened.pipeline)
    if cells:
        which = f"cell {cells[0]}" if len(cells) == 1 else f"cells {', '.join(map(str, cells))}"
        raise Refused(
            f"{opened.notebook.path}: {which} may create something in the cloud, and verify runs the notebook twice",
            hint="say --yes if it may do so twice",
            code="creates-in-cloud",
        )


def as_json(found: Verified) -> dict[str, Any]:
    """What `verify` found, as JSON."""
    compared = found.compared
    return {
        "notebook": found.opened.notebook.path,
        "equal": not compared.differences and found.steps.refused is None,
        "steps": [step.name for step in found.opened.pipeline.steps],
        "compared": {
            "cells": compared.cells,
            "outputs": compared.outputs,
            "values": compared.values,
            "files": compared.files,
        },
        "refused": str(found.steps.refused) if found.steps.refused is not None else None,
        "failure": asdict(compared.failure) if compared.failure is not None else None,
        "types_only": list(compared.closed),
        "aside": {
            "cells": [{"cell": cell, "why": why} for cell, why in found.aside.cells.items()],
            "names": sorted(found.aside.names),
            "files": sorted(found.aside.files),
        },
        "linked": [str(path) for path in found.linked],
        "differences": [asdict(difference) for difference in compared.differences],
        "cause": asdict(found.cause) if found.cause is not None else None,
    }
