"""One attempt of a step from its start to its end: what it was given, what it has shown so far, how it ended."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from nbvertex.errors import (
    NbvertexError,
    Place,
    Problem,
    ProblemsFound,
    Refused,
    StepFailed,
    StoreError,
    ends_the_run,
)
from nbvertex.events import CellEnded, CellOutput, CellStarted, RunEvent, StepResult, Surveyed
from nbvertex.home import cannot_write
from nbvertex.lineage import CellRow, Outcome
from nbvertex.locks import Lock
from nbvertex.pipeline import Cell
from nbvertex.plan import Planned
from nbvertex.runtime import jobs
from nbvertex.runtime.outputs import Output
from nbvertex.state import Inputs

LONGEST = 500  # characters of what a cell's error says, where it is told in one line
NO_SPACE = re.compile(r"OSError: \[Errno (\d+)\] (.*?)(?:: '.*')?")


@dataclass(frozen=True, slots=True)
class Landed:
    """An attempt that ended well.

    Args:
        outcome: what it left; with a row's id where it was taken from the book instead of computed.
        told: the answer to a task.
    """

    outcome: Outcome
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crashed:
    """An attempt that did not end well.

    Args:
        error: what to tell the user.
        again: whether another attempt may help.
        wanted: the notebook ended the run here itself, with `sys.exit()`.
        read: the files that it was seen to read.
        widgets: what its widgets showed, as a notebook's metadata keeps it.
    """

    error: NbvertexError
    again: bool = True
    wanted: bool = False
    read: tuple[str, ...] = ()
    widgets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Flight:
    """An attempt of a step.

    Args:
        planned: the step.
        number: which attempt, counted from 1.
        inputs: what it reads.
        early: it started before all earlier steps were recorded, and no one has found since that what it
            read still holds.
        key: what its result may be remembered under.
        lock: keeps others from computing the same.
        job: its id in the pool; empty where it needs no process.
        started: seconds since the epoch.
        deadline: when its time is over, by the monotonic clock.
        late: its time was over, and it was told to stop.
        waiting: it stands before an effect that others could see.
        since: how long it has been waiting, by the monotonic clock.
        recorded: the book has it already: it was only put back behind a step that has to run again.
        cells: what its cells did so far.
        shown: what the cell that is running has shown so far.
        ending: how it ended.
        task: what it does instead of running cells, or beside it.
        blobs: bytes that the task refers to by number.
        rounds: what the rounds did whose lists it makes.
    """

    planned: Planned
    number: int
    inputs: Inputs
    early: bool
    key: str | None = None
    lock: Lock | None = None
    job: str = ""
    started: float = field(default_factory=time.time)
    deadline: float | None = None
    late: bool = False
    waiting: bool = False
    since: float = 0.0
    recorded: bool = False
    cells: dict[int, CellRow] = field(default_factory=dict)
    shown: dict[int, list[Output]] = field(default_factory=dict)
    ending: Landed | Crashed | None = None
    task: Mapping[str, Any] | None = None
    blobs: tuple[bytes, ...] = ()
    rounds: tuple[StepResult, ...] | None = None

    @property
    def running(self) -> bool:
        return self.ending is None

    @property
    def round(self) -> int | None:
        """Which round it is, where its step runs over a list."""
        return self.planned.round.number if self.planned.round is not None else None

    @property
    def sources(self) -> tuple[Cell, ...]:
        """The cells that it runs."""
        return self.planned.step.cells if self.task is None or self.task["kind"] == "round" else ()

    @property
    def at(self) -> int | None:
        """The cell that it is in, or was in when it ended."""
        return max(self.cells, key=lambda position: self.cells[position].started or 0.0, default=None)

    @property
    def landed(self) -> Landed | None:
        return self.ending if isinstance(self.ending, Landed) else None

    @property
    def cached(self) -> bool:
        """Whether its result was there already."""
        return self.landed is not None and self.landed.outcome.id > 0

    def take(self, run: str, event: jobs.Event) -> RunEvent | None:
        """Take note of what its process tells, save its end; gives what is to be told of it."""
        step = self.planned.name
        match event:
            case jobs.CellStarted(position=position, at=at):
                self.cells[position] = CellRow(position=position, state="running", started=at)
                return CellStarted(run=run, step=step, position=position, at=at, round=self.round)
            case jobs.Output(position=position, output=output):
                self.shown.setdefault(position, []).append(output)
                return CellOutput(run=run, step=step, position=position, output=output, round=self.round)
            case jobs.CellEnded(position=position, at=at, ok=ok, count=count, outputs=outputs):
                self.shown.pop(position, None)
                well = ok or any(_is_an_exit(output) for output in outputs)
                state: Literal["done", "failed"] = "done" if well else "failed"
                self._change(position, state=state, count=count, ended=at, outputs=outputs)
                return CellEnded(
                    run=run, step=step, position=position, at=at, state=state, count=count, round=self.round
                )
            case jobs.Revised(position=position, outputs=outputs):
                self._change(position, outputs=outputs)
            case jobs.Surveyed(position=position, values=values, gone=gone, shared=shared):
                return Surveyed(
                    run=run, step=step, position=position, values=values, gone=gone, shared=shared
                )
            case jobs.Waiting():
                self.waiting, self.since = True, time.monotonic()
        return None

    def _change(self, position: int, **values: Any) -> None:
        was = self.cells.get(position, CellRow(position=position, state="running"))
        self.cells[position] = msgspec.structs.replace(was, **values)

    def go_on(self) -> None:
        """It may do what others can see; the time it waited does not count."""
        if self.waiting and self.deadline is not None:
            self.deadline += time.monotonic() - self.since
        self.waiting = self.early = False

    def unlock(self) -> None:
        """Let others compute the same."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def land(self, ending: Landed | Crashed) -> None:
        """It is over; a cell that was still running has failed, with what it had shown."""
        self.ending, self.waiting = ending, False
        for position, cell in self.cells.items():
            if cell.state == "running":
                self._change(
                    position, state="failed", ended=time.time(), outputs=pieced(self.shown.get(position, ()))
                )


def pieced(shown: Iterable[Output]) -> tuple[Output, ...]:
    """What a cell showed until it was cut off, as a notebook stores it."""
    found: list[dict[str, Any]] = []
    texts: list[list[str]] = []
    for output in shown:
        kind = output["output_type"]
        if kind == "clear_output":
            found.clear()
        elif kind == "stream":
            if not (found and found[-1].get("name") == output["name"]):
                texts.append([])
                found.append({**output, "text": texts[-1]})
            found[-1]["text"].append(output["text"])
        elif kind != "update_display_data":
            found.append({key: value for key, value in output.items() if key != "transient"})
    return tuple({**one, "text": "".join(one["text"])} if "text" in one else one for one in found)


def why_crashed(result: jobs.Result, flight: Flight, notebook: str, home: Path) -> Crashed:
    """The end of an attempt that did not end well, in our words; its values were to lie in the home."""
    planned = flight.planned

    def place(cell: int | None = None, line: int | None = None) -> Place:
        return Place(notebook=notebook, cell=cell, line=line, step=planned.name)

    match result:
        case jobs.Failed(position=position, ename=ename, evalue=evalue, line=line):
            wanted = ends_the_run(ename, evalue)
            error = StepFailed(
                f"{ename}: {_in_short(evalue)}" if evalue else ename,
                place=place(position, line),
                hint=result.hint,
            )
            return Crashed(error, not wanted, wanted, result.files_read, result.widgets)
        case jobs.Refused(problems=problems):
            return Crashed(_refusal([_problem(one, place(one.get("cell"))) for one in problems]), again=False)
        case jobs.Died(message=message):
            if (full := _disk_full(message, planned.name, home)) is not None:
                return Crashed(full, again=False)
            return Crashed(StepFailed(message, place=place(flight.at), code="step-died"))
        case jobs.Done():
            raise AssertionError("a step that ended well did not crash")


def _in_short(text: str) -> str:
    """What an error says in one line; the notebook has all of it."""
    line, *more = text.strip().split("\n", 1)
    return f"{line[:LONGEST]} ..." if more or len(line) > LONGEST else line


def _is_an_exit(output: Output) -> bool:
    return output["output_type"] == "error" and ends_the_run(output["ename"], output["evalue"])


def _disk_full(message: str, step: str, home: Path) -> StoreError | None:
    """What a step's process says that could not write its values."""
    found = NO_SPACE.fullmatch(message)
    if found is None or int(found[1]) not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        return None
    return cannot_write(f"the values of step {step} into {home}", OSError(int(found[1]), found[2]))


def _problem(found: Mapping[str, Any], place: Place) -> Problem:
    message = f"`{found['name']}` ({found['type']}): {found['message']} cannot travel to a later step"
    return Problem("cannot-travel", message, place, found.get("hint"))


def _refusal(problems: Sequence[Problem]) -> NbvertexError:
    if len(problems) != 1:
        return ProblemsFound(problems)
    only = problems[0]
    return Refused(only.message, place=only.place, hint=only.hint, code=only.code)
