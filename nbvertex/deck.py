"""The attempts that are under way: handed to the pool, heard, let go on, stopped when their time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from nbvertex import plan
from nbvertex.errors import Place, Refused, StepFailed
from nbvertex.events import RunEvent
from nbvertex.flight import Crashed, Flight, Landed, why_crashed
from nbvertex.interrupts import Interrupts
from nbvertex.ledger import Ledger
from nbvertex.lineage import Outcome, Touched
from nbvertex.runtime import jobs
from nbvertex.state import as_held, difference

STATES = {
    "@cwd": "the working folder",
    "@environ": "environment variables",
    "@path": "sys.path",
    "@random": "the generator of random",
    "@numpy.random": "the generator of numpy.random",
    "@torch": "the generator of torch",
    "@figures": "open figures",
    "@warnings": "warning filters",
}
LOOK = 0.25  # seconds between two looks at whether somebody wants to stop


def _state(name: str) -> str:
    """A state outside the names in words."""
    module, colon, attribute = name.removeprefix("@on:").partition(":")
    return f"{module}.{attribute}" if colon else STATES.get(name, name.removeprefix("@"))


class Processes(Protocol):
    """What is asked of `worker.Pool`."""

    def start(self, job: jobs.Job) -> None: ...
    def poll(self, timeout: float | None) -> list[jobs.Event]: ...
    def proceed(self, job_id: str) -> None: ...
    def stop(self, job_id: str, *, grace: float = 5.0) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What every step's process is given.

    Args:
        notebook: the file's name, for messages.
        cwd: the working folder.
        env: environment variables beside this process's.
        output_limit: bytes of output kept per cell.
        survey: the cells before which the values of all names are told, and 0: after each step's last.
    """

    notebook: str
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    output_limit: int = 10_000_000
    survey: tuple[int, ...] = ()


class Deck:
    """The attempts under way.

    Args:
        ledger: the run's book, where artifacts come from and go to.
        settings: what every process is given.
        open_pool: starts the processes; called when the first attempt needs one.
        tell: hears what the cells do.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        open_pool: Callable[[], Processes],
        tell: Callable[[RunEvent], None],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._open_pool = open_pool
        self._tell = tell
        self._pool: Processes | None = None
        self._jobs: dict[str, Flight] = {}
        self._made = 0
        self.changes = 0  # how often an attempt ended or began to wait

    @property
    def busy(self) -> int:
        """How many attempts compute now; those that wait before an effect do not."""
        return sum(not flight.waiting for flight in self._jobs.values())

    @property
    def notebook(self) -> str:
        """The notebook's name, for messages."""
        return self._settings.notebook

    @property
    def waiting(self) -> int:
        return len(self._jobs) - self.busy

    def warm_up(self) -> None:
        """Start the processes, where that has not happened yet: a step will need them."""
        if self._pool is None:
            self._pool = self._open_pool()

    def start(self, flight: Flight) -> None:
        """Give an attempt a process.

        Raises:
            Damaged: an artifact that it reads is missing or not what it was.
            NbvertexError: the environment cannot run steps.
        """
        artifacts, blobs = self._ledger.hand_out(flight.inputs)
        self.warm_up()
        assert self._pool is not None
        step = flight.planned.step
        self._made += 1
        flight.job = f"{step.name}#{self._made}"
        bound = {name: entry for name, entry in flight.inputs.names.items() if entry is not None}
        self._pool.start(
            jobs.Job(
                id=flight.job,
                cells=tuple(jobs.CellJob(c.position, c.count, c.source, c.may_fail) for c in flight.sources),
                inputs={
                    "step": flight.planned.space,
                    "names": bound,
                    "artifacts": artifacts,
                    "imports": step.facts.imports,
                    "sources": [cell.source for cell in step.cells],
                    "last": flight.planned.last,
                },
                blobs=(*blobs, *flight.blobs),
                live=flight.planned.live,
                parameters=flight.planned.given,
                cwd=self._settings.cwd,
                env=self._settings.env,
                scratch=str(self._ledger.scratch),
                early=flight.early,
                output_limit=self._settings.output_limit,
                measures=plan.measures(step),
                survey=self._survey(flight),
                task={**flight.task, "first": len(blobs)} if flight.task is not None else None,
            )
        )
        if step.options.timeout is not None and flight.sources:
            flight.deadline = time.monotonic() + step.options.timeout
        self._jobs[flight.job] = flight

    def _survey(self, flight: Flight) -> tuple[int, ...]:
        """Before which cells names are told; what a round leaves at its end is not yet what the step leaves."""
        return tuple(cell for cell in self._settings.survey if cell or flight.planned.round is None)

    def confirm(self, flight: Flight) -> None:
        """An early attempt may do what others can see."""
        flight.go_on()
        if self._pool is not None and flight.job in self._jobs:
            self._pool.proceed(flight.job)

    def drop(self, flight: Flight) -> None:
        """An attempt is of no use any more; it has done nothing that others could see."""
        if self._jobs.pop(flight.job, None) is not None and self._pool is not None:
            self._pool.stop(flight.job, grace=0.0)

    def hear(self, timeout: float, interrupts: Interrupts) -> bool:
        """Wait for something to happen, and take note of it.

        Args:
            timeout: seconds to wait at most, less where an attempt's time is over before.
            interrupts: may break off the waiting.

        Returns:
            whether anything happened.

        Raises:
            StoreError: an artifact cannot be kept.
            NbvertexError: the environment cannot run steps.
        """
        if self._pool is None or not self._jobs:
            with interrupts.listening():
                time.sleep(timeout)
            return False
        ends = [f.deadline for f in self._jobs.values() if f.deadline and not (f.waiting or f.late)]
        left = min([timeout, *(end - time.monotonic() for end in ends)])
        with interrupts.listening():
            events = self._pool.poll(max(0.0, left))
        for event in events:
            self._take(event)
        self._stop_late()
        return bool(events)

    def ask(self, flight: Flight, interrupts: Interrupts) -> Mapping[str, Any]:
        """Have a task done that runs no cell, and wait for it; the attempts under way go on.

        Returns:
            the answer.

        Raises:
            Damaged: an artifact that it reads is missing or not what it was.
            NbvertexError: its process cannot do it.
        """
        self.start(flight)
        while flight.running:
            interrupts.check()
            self.hear(LOOK, interrupts)
        if isinstance(flight.ending, Crashed):
            raise flight.ending.error
        assert flight.landed is not None
        return flight.landed.told

    def _take(self, event: jobs.Event) -> None:
        flight = self._jobs.get(event.job)
        if flight is None:  # it was dropped
            return
        self.changes += isinstance(event, jobs.Ended | jobs.Waiting)
        if isinstance(event, jobs.Ended):
            del self._jobs[flight.job]
            flight.land(self._ending(flight, event.result))
            return
        told = flight.take(self._ledger.run, event)
        if told is not None:
            self._tell(told)

    def _ending(self, flight: Flight, result: jobs.Result) -> Landed | Crashed:
        if flight.late:
            return self._timed_out(flight)
        if not isinstance(result, jobs.Done):
            return why_crashed(result, flight, self._settings.notebook, self._ledger.home.folder)
        held = tuple(as_held(meta) for meta in result.artifacts)
        for one, meta in zip(held, result.artifacts, strict=True):
            blob = result.blobs[meta["blob"]] if "blob" in meta else None
            self._ledger.receive(one, blob, meta.get("path"))
        if "error" in result.told and flight.task is not None and flight.task["kind"] == "gather":
            return self._not_gathered(flight, result.told["error"])
        change = difference(flight.inputs, result.names, held)
        if "written" in result.told:
            change = msgspec.structs.replace(change, written=tuple(result.told["written"]))
        outcome = Outcome(
            run=self._ledger.run,
            change=change,
            live=flight.planned.live,
            touched=Touched(read=result.files_read, written=result.files_written),
            widgets=result.widgets,
            measures=result.measures,
            started=flight.started,
            ended=time.time(),
        )
        return Landed(outcome, result.told)

    def _not_gathered(self, flight: Flight, what: str) -> Crashed:
        """Rounds have changed the state outside the names."""
        place = Place(
            self._settings.notebook, flight.planned.step.cells[0].position, step=flight.planned.name
        )
        names = ", ".join(_state(name) for name in what.split(", "))
        message = f"the rounds of a step that runs over a list must leave the state outside the names alone: {names}"
        hint = "change that in a step before; of random numbers, seed them first thing in each round"
        return Crashed(Refused(message, place=place, hint=hint, code="each-state"), again=False)

    def _timed_out(self, flight: Flight) -> Crashed:
        place = Place(notebook=self._settings.notebook, cell=flight.at, step=flight.planned.name)
        limit = flight.planned.step.options.timeout
        return Crashed(StepFailed(f"timed out after {limit:g} seconds", place=place, code="step-timeout"))

    def _stop_late(self) -> None:
        now = time.monotonic()
        for flight in self._jobs.values():
            if flight.deadline is not None and flight.deadline <= now and not (flight.waiting or flight.late):
                flight.late = True
                if self._pool is not None:
                    self._pool.stop(flight.job)

    def close(self) -> None:
        """No process is left."""
        if self._pool is not None:
            self._pool.close()
        now = Crashed(StepFailed("was stopped"))
        for flight in self._jobs.values():
            flight.land(now)
        self._jobs.clear()
