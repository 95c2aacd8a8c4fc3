"""Where a notebook is run straight and as steps, one after the other, each in a clean copy of its folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from nbvertex import mirror, runner, straight
from nbvertex import plan as plans
from nbvertex.errors import Interrupted, NbvertexError, StepFailed, StoreError
from nbvertex.events import CellStarted, RunEvent, RunResult, RunStarted, StepChanged, StepState, Surveyed
from nbvertex.home import Home, find, writing
from nbvertex.mirror import Mirror
from nbvertex.pipeline import Pipeline
from nbvertex.sides import Failure, Folder, Side, Told

STRAIGHT = "straight"  # what the run from top to bottom is called where progress is shown
UNDECIDED = frozenset({"when-value", "each-value"})  # no cell has run
LOST = frozenset({"step-died", "step-timeout"})  # codes of failures that no cell raised


@dataclass(frozen=True, slots=True)
class Order:
    """What is run.

    Args:
        pipeline: the notebook.
        notebook: its file.
        parameters: the values given.
        cwd: the folder to work in a copy of, absolute.
        python: the interpreter of both.
        jobs: how many steps compute at the same time.
    """

    pipeline: Pipeline
    notebook: Path
    parameters: Mapping[str, object]
    cwd: Path
    python: str = sys.executable
    jobs: int | None = None

    @property
    def given(self) -> dict[int, dict[str, object]]:
        """Position of a cell -> the parameters set after it, as the steps are given them."""
        found: dict[int, dict[str, object]] = {}
        for planned in plans.make(self.pipeline, self.parameters).steps:
            for position, name, value in planned.given:
                first = planned.step.cells[0].position if planned.step.cells else 0
                after = position or max((p for p in self.positions if p < first), default=0)
                found.setdefault(after, {})[name] = value
        return found

    @property
    def positions(self) -> list[int]:
        """Of all cells, in notebook order."""
        return sorted(cell.position for step in self.pipeline.steps for cell in step.cells)


class Workshop:
    """A folder with room for several runs, gone when it is left.

    Both kinds of runs see the same paths, the same environment variables and the same order of sets.

    Args:
        order: what is run.
        on_event: hears what happens while it happens.
    """

    def __init__(self, order: Order, on_event: Callable[[RunEvent], None]) -> None:
        self._order, self._tell = order, on_event
        self.linked: set[Path] = set()
        self.written_by: dict[str, int] = {}  # file -> the cell that wrote it last in a straight run
        self._base = Path()

    def __enter__(self) -> Self:
        with writing(Path(tempfile.gettempdir())):
            self._base = Path(tempfile.mkdtemp(prefix="nbvertex-verify-")).resolve()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._base, ignore_errors=True)

    # --- the two kinds of runs ---------------------------------------------------------------------------

    def straight(self, label: str, *, watched: int = 0) -> Side:
        """Run it from top to bottom.

        Args:
            label: for the folder that is left.
            watched: the cell before which the values of names are told.
        """
        began = time.time()
        self._tell(RunStarted(run=STRAIGHT, pipeline=self._order.pipeline.name, steps=(STRAIGHT,), at=began))
        self._tell(StepChanged(run=STRAIGHT, step=STRAIGHT, state="running", at=began))
        with self._folder(label) as (copy, environ):
            seen = _Writers(copy)
            asked = straight.Straight(
                pipeline=self._order.pipeline,
                given=self._order.given,
                cwd=copy.cwd,
                scratch=self._base / "scratch",
                environ=environ,
                python=self._order.python,
                watched=watched,
                on_cell=lambda position: self._begins(position, seen),
            )
            side = straight.run(asked)
            seen.next(0)
            self.written_by.update(seen.found)
            changed = copy.changed()
        failure = side.failure if side.failure is not None and not side.failure.wanted else None
        state: StepState = "failed" if failure else "done"
        seconds = time.time() - began
        self._tell(
            StepChanged(run=STRAIGHT, step=STRAIGHT, state=state, at=began + seconds, seconds=seconds,
                        error=str(failure) if failure else None)
        )  # fmt: skip
        return replace(side, folder=Folder(self._base / label / copy.root.name, changed))

    def _begins(self, position: int, seen: _Writers) -> None:
        seen.next(position)
        self._tell(CellStarted(run=STRAIGHT, step=STRAIGHT, position=position, at=time.time()))

    def steps(self, label: str, *, watched: int = 0) -> Side:
        """Run it as isolated steps, taking nothing from earlier runs.

        Args:
            label: for the folder that is left.
            watched: the cell before which the values of names are told.
        """
        values = _Values(self._order.pipeline)
        order = self._order

        def hear(event: RunEvent) -> None:
            values(event)
            self._tell(event)

        with self._folder(label) as (copy, environ):
            result = runner.run(
                order.pipeline,
                home=Home(self._base / f"{label}-home"),
                notebook=order.notebook,
                parameters=order.parameters,
                cwd=copy.cwd,
                jobs=order.jobs,
                python=order.python,
                cache=False,
                output_limit=sys.maxsize,
                survey=(0, watched) if watched else (0,),
                environ=environ,
                on_event=hear,
            )
            changed = copy.changed()
        side = _side(result)
        at_end, unknown = values.at_end()
        return replace(
            side,
            values=at_end if side.failure is None and side.refused is None else None,
            unknown=unknown,
            before=values.before,
            folder=Folder(self._base / label / copy.root.name, changed),
        )

    @contextmanager
    def _folder(self, label: str) -> Iterator[tuple[Mirror, dict[str, str]]]:
        """A clean copy of the folder, at the same place for every run; moved away when the run is over."""
        work, temporary = self._base / "work", self._base / "tmp"
        with writing(self._base):
            for folder in (temporary, self._base / "scratch", self._base / "ipython"):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
        home = find(self._order.notebook).folder
        copy = mirror.make(self._order.cwd, work, without=(home, self._base))
        environ = {
            "PYTHONHASHSEED": "0",
            **os.environ,
            "TMPDIR": str(temporary),
            "IPYTHONDIR": str(self._base / "ipython"),
        }
        try:
            yield copy, environ
        finally:
            self.linked.update(copy.written_through())
            work.rename(self._base / label)


class _Writers:
    """Notes which cell made or changed which file.

    Args:
        copy: the folder.
    """

    def __init__(self, copy: Mirror) -> None:
        self.found: dict[str, int] = {}
        self._copy, self._cell = copy, 0
        self._before = dict(copy.before)

    def next(self, position: int) -> None:
        """A cell begins, so the one before it has ended; 0: there is none any more."""
        now = self._copy.now()
        if self._cell and now != self._before:
            changed = {path for path, _ in now.items() ^ self._before.items()}
            self.found.update(dict.fromkeys(changed, self._cell))
        self._cell, self._before = position, now


class _Values:
    """Puts together what the steps tell of their names.

    Args:
        pipeline: the notebook.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._ends: dict[str, Surveyed] = {}
        self.before: Mapping[str, Told] | None = None

    def __call__(self, event: RunEvent) -> None:
        if isinstance(event, Surveyed) and event.position == 0:
            self._ends[event.step] = event
        elif isinstance(event, Surveyed):
            self.before = event.values

    def at_end(self) -> tuple[dict[str, Told], frozenset[str]]:
        """What the names held when the last step had ended, and the names of which that cannot be told."""
        values: dict[str, Told] = {}
        unknown: set[str] = set()
        sharing: dict[str, dict[str, Told]] = {}  # name -> what those that share with it held then
        for step in self._pipeline.steps:
            if step.name in self._ends:
                end = self._ends[step.name]
                unknown |= _stale(sharing, end)
                for name in end.values:
                    sharing[name] = {other: end.values[other] for other in end.shared.get(name, ())}
                values.update(end.values)
                for name in end.gone:
                    values.pop(name, None)
                unknown -= {*end.values, *end.gone}
                # a name that is only deleted later is not kept until then
                unknown |= set(step.facts.deletes) - {*end.values, *end.gone}
            each = step.options.each
            if each is not None and step.name in self._ends:
                # what a round leaves that nobody reads later is not put into a list
                facts = step.facts
                lost = {*each.gathers, *facts.binds, *facts.mutates, *facts.touches} - end.values.keys()
                unknown |= lost
                for name in lost:
                    values.pop(name, None)
        return values, frozenset(unknown)


def _stale(sharing: Mapping[str, Mapping[str, Told]], end: Surveyed) -> set[str]:
    """Names that a step does not know, of objects that it may have changed by other names."""
    away = sharing.keys() - end.values.keys()
    found: set[str] = set()
    while more := {
        name
        for name in away - found
        if any(other in found or end.values.get(other, told) != told for other, told in sharing[name].items())
    }:
        found |= more
    return found


def _side(result: RunResult) -> Side:
    """What a run of steps showed.

    Raises:
        Interrupted: the user asked to stop.
        StoreError: it could not be kept.
    """
    error = result.error
    ended = error or result.left
    if isinstance(error, Interrupted | StoreError):
        raise error
    cells = [
        cell for step in result.steps.values() for cell in step.cells.values() if cell.started is not None
    ]
    return Side(
        outputs={cell.position: cell.outputs for cell in cells},
        counts={cell.position: cell.count for cell in cells},
        failure=_failure(ended, result) if isinstance(ended, StepFailed) else None,
        refused=None if isinstance(error, StepFailed) else error,
    )


def _failure(error: NbvertexError, result: RunResult) -> Failure:
    place = error.place
    if error.code in UNDECIDED:
        return Failure(place.cell, "", error.message)
    if error.code in LOST:
        return Failure(place.cell, "" if error.code == "step-died" else "Timeout", error.message, place.line)
    step = result.steps.get(place.step or "")
    cell = step.cells.get(place.cell or 0) if step is not None else None
    for output in reversed(cell.outputs if cell is not None else ()):  # the last is the one that ended it
        if output.get("output_type") == "error":
            return Failure(
                place.cell, output["ename"], output["evalue"], place.line, tuple(output.get("traceback", ()))
            )
    ename, _, evalue = error.message.partition(": ")
    return Failure(place.cell, ename, evalue, place.line)
