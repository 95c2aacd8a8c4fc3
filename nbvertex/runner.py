"""A pipeline runs here: its steps in processes of their own, side by side, recorded in notebook order."""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbvertex import plan as plans
from nbvertex import worker
from nbvertex.deck import Deck, Processes, Settings
from nbvertex.errors import Interrupted, NbvertexError
from nbvertex.events import (
    CellResult,
    RunEnded,
    RunEvent,
    RunResult,
    RunStarted,
    RunState,
    StepChanged,
    StepResult,
    StepState,
)
from nbvertex.flight import Crashed, Flight, Landed
from nbvertex.home import Home
from nbvertex.interrupts import Interrupts
from nbvertex.ledger import Entry, Ledger
from nbvertex.lineage import Outcome, Run, StepRow
from nbvertex.pipeline import Pipeline, dump
from nbvertex.state import State

IDLE = 0.25  # seconds after which a wait is broken off to write what is known
TURN = 0.02  # seconds between two looks at a lock that another run holds


def wait_before(attempt: int) -> float:
    """Seconds to wait after a failed attempt: about 1, 2, 4, ... up to 60, spread by chance."""
    return float(min(60.0, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.5))


class Runner:
    """The loop of one run: what is ready starts, what has ended is recorded in notebook order.

    Args:
        plan: the steps.
        ledger: the run's book, open.
        deck: where attempts run.
        jobs: how many steps compute at the same time.
        backoff: seconds to wait after attempt n.
        tell: hears every event.
    """

    def __init__(
        self,
        plan: plans.Plan,
        ledger: Ledger,
        deck: Deck,
        *,
        jobs: int,
        backoff: Callable[[int], float],
        tell: Callable[[RunEvent], None],
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.deck = deck
        self.results: dict[int, StepResult] = {}
        self.failure: NbvertexError | None = None
        self._jobs = jobs
        self._backoff = backoff
        self._tell = tell
        self._state = State()
        self._head = plan.first
        self._flights: dict[int, Flight] = {}
        self._tries: dict[int, int] = {}  # place of a step -> its attempts so far
        self._not_before = 0.0

    def go(self, interrupts: Interrupts) -> None:
        """Run until every step is recorded or one has failed.

        Raises:
            KeyboardInterrupt: somebody asked to stop.
            NbvertexError: the run cannot go on.
        """
        while True:
            interrupts.check()
            self._record_what_ended()
            if self.failure is not None or self._head >= self.plan.end:
                self.ledger.flush()
                return
            self._launch()
            if self.ledger.unsaved:
                self.ledger.flush()
            self._confirm_head()
            head = self._flights.get(self._head)
            if head is None or head.running:
                with interrupts.listening():
                    happened = self.deck.hear(self._patience())
                if not happened:
                    self.ledger.flush()

    def _patience(self) -> float:
        if self._head in self._flights:
            return IDLE
        return min(IDLE, max(TURN, self._not_before - time.monotonic()))

    # --- starting ----------------------------------------------------------------------------------------

    def _launch(self) -> None:
        if self._head not in self._flights and time.monotonic() >= self._not_before:
            self._open(self.plan.steps[self._head], self._state, early=self.ledger.unsaved)

    def _open(self, planned: plans.Planned, state: State, *, early: bool) -> None:
        number = self._tries.get(planned.index, 0) + 1
        flight = Flight(planned, number, state.inputs(planned.wanted), early, live=planned.step.live)
        self.deck.start(flight)
        self._flights[planned.index] = flight
        self._tries[planned.index] = number
        self.ledger.started(_row(flight, "running"))
        self._tell_step(flight, "running", at=flight.started)

    def _confirm_head(self) -> None:
        """The head may do what others can see, once all before it is durable and what it read still holds."""
        flight = self._flights.get(self._head)
        if flight is None or not flight.early or not flight.running or self.ledger.unsaved:
            return
        if self._holds(flight):
            self.deck.confirm(flight)
        else:
            self._throw_away(flight)

    def _holds(self, flight: Flight) -> bool:
        """Whether what it read is what it would read now."""
        return self._state.inputs(flight.planned.wanted) == flight.inputs

    def _throw_away(self, flight: Flight) -> None:
        del self._flights[flight.planned.index]
        self._tries[flight.planned.index] -= 1
        self.deck.drop(flight)

    # --- recording ---------------------------------------------------------------------------------------

    def _record_what_ended(self) -> None:
        while self.failure is None and self._head < self.plan.end:
            flight = self._flights.get(self._head)
            if flight is None or flight.running:
                return
            if flight.early and not self._holds(flight):
                self._throw_away(flight)
                return
            del self._flights[self._head]
            if isinstance(flight.ending, Landed):
                self._record(flight, flight.ending)
            elif isinstance(flight.ending, Crashed):
                self._crashed(flight, flight.ending)

    def _record(self, flight: Flight, landed: Landed) -> None:
        state: StepState = "cached" if flight.cached else "done"
        self._state.apply(landed.outcome.change)
        row = _row(flight, state, ended=landed.outcome.ended)
        self.ledger.ended(Entry(row, landed.outcome, tuple(flight.cells.values()), flight.key))
        self.results[self._head] = _result(flight, state, landed.outcome)
        self._head += 1
        self._tell_step(flight, state, at=landed.outcome.ended)

    def _crashed(self, flight: Flight, crash: Crashed) -> None:
        now, why = time.time(), str(crash.error)
        outcome = Outcome(run=self.ledger.run, started=flight.started, ended=now)
        row = _row(flight, "failed", ended=now, error=why)
        self.ledger.ended(Entry(row, outcome, tuple(flight.cells.values())))
        if crash.again and flight.number <= flight.planned.step.options.retries:
            self._not_before = time.monotonic() + self._backoff(flight.number)
        else:
            self.failure = crash.error
            self.results[self._head] = _result(flight, "failed", outcome, why=why)
        self._tell_step(flight, "failed", at=now, error=why)

    def _tell_step(self, flight: Flight, state: StepState, *, at: float, error: str | None = None) -> None:
        self._tell(
            StepChanged(
                run=self.ledger.run,
                step=flight.planned.name,
                state=state,
                at=at,
                attempt=flight.number,
                seconds=None if state == "running" else at - flight.started,
                error=error,
            )
        )


def _row(
    flight: Flight, state: StepState, *, ended: float | None = None, error: str | None = None
) -> StepRow:
    homes = flight.inputs.homes()
    return StepRow(
        position=flight.planned.index,
        attempt=flight.number,
        name=flight.planned.name,
        state=state,
        code=flight.planned.code,
        key=flight.key,
        inputs={name: homes[entry] for name, entry in flight.inputs.names.items() if entry is not None},
        started=flight.started,
        ended=ended,
        error=error,
    )


def _result(flight: Flight, state: StepState, outcome: Outcome, why: str | None = None) -> StepResult:
    cells: dict[int, CellResult] = {}
    for cell in flight.planned.step.cells:
        found = flight.cells.get(cell.position)
        cells[cell.position] = (
            CellResult(position=cell.position, state="skipped")
            if found is None
            else CellResult(
                position=cell.position,
                state=found.state,
                count=found.count,
                started=found.started,
                ended=found.ended,
                outputs=found.outputs,
            )
        )
    return StepResult(
        name=flight.planned.name,
        state=state,
        attempt=flight.number,
        source=outcome.run if state == "cached" else None,
        started=outcome.started,
        ended=outcome.ended,
        cells=cells,
        why=why,
    )


def run(
    pipeline: Pipeline,
    *,
    home: Home,
    notebook: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
    jobs: int | None = None,
    python: str | None = None,
    on_event: Callable[[RunEvent], None] = lambda event: None,
    pool_factory: Callable[..., Processes] = worker.Pool,
    backoff: Callable[[int], float] = wait_before,
) -> RunResult:
    """Run a pipeline on this machine.

    Args:
        pipeline: what is run.
        home: where everything is kept.
        notebook: the file it was made of, for messages and to find its runs again.
        parameters: values for parameters, by name, already checked.
        cwd: the working folder of every step; by default the current one.
        jobs: how many steps compute at the same time; by default as many as there are processors.
        python: the interpreter of the steps; by default this one.
        on_event: hears what happens while it happens.
        pool_factory: makes the processes.
        backoff: seconds to wait after attempt n of a step with retries.

    Returns:
        what every cell did, and in ``error`` what is to be told of a run that did not end well.

    Raises:
        StoreError: the home cannot be written.
        UsageError: the interpreter cannot be started.
    """
    import sys

    folder = str((cwd or Path.cwd()).absolute())
    interpreter = python or sys.executable
    given = dict(parameters or {})
    name = str(notebook) if notebook is not None else pipeline.notebook
    plan = plans.make(pipeline, given)
    ledger = Ledger(home)
    try:
        row = Run(
            id="",
            notebook=str(notebook.absolute()) if notebook is not None else pipeline.notebook,
            name=pipeline.name,
            pipeline=dump(pipeline),
            parameters=given,
            environment={"python": platform.python_version(), "platform": platform.platform()},
            cwd=folder,
            python=interpreter,
            state="running",
            started=time.time(),
        )
        ledger.begin(row, [(step.name, step.code) for step in plan.steps])
        deck = Deck(
            ledger,
            Settings(name, folder),
            lambda: pool_factory(interpreter, preload=_preload(pipeline), cwd=folder),
            on_event,
        )
        count = jobs or len(os.sched_getaffinity(0))
        runner = Runner(plan, ledger, deck, jobs=count, backoff=backoff, tell=on_event)
        on_event(
            RunStarted(
                run=ledger.run,
                pipeline=pipeline.name,
                steps=tuple(step.name for step in plan.steps),
                at=row.started,
            )
        )
        state, error = _until_the_end(runner)
        result = RunResult(
            run=ledger.run,
            state=state,
            started=row.started,
            ended=time.time(),
            parameters=given,
            steps=_all_results(runner, error),
            error=error,
        )
        on_event(RunEnded(run=ledger.run, state=state, at=result.ended, error=str(error) if error else None))
        return result
    finally:
        ledger.close()


def _until_the_end(runner: Runner) -> tuple[RunState, NbvertexError | None]:
    state: RunState
    error: NbvertexError | None
    with Interrupts() as interrupts:
        try:
            runner.go(interrupts)
            error = runner.failure
            state = "failed" if error else "done"
        except KeyboardInterrupt:
            error, state = Interrupted("interrupted"), "interrupted"
        except NbvertexError as problem:
            error, state = problem, "failed"
        finally:
            runner.deck.close()
        runner.ledger.end(state, str(error) if error else None)
    return state, error


def _all_results(runner: Runner, error: NbvertexError | None) -> dict[str, StepResult]:
    found: dict[str, StepResult] = {}
    for step in runner.plan.steps:
        found[step.name] = runner.results.get(step.index) or StepResult(
            name=step.name, state="skipped", why="not run"
        )
    return found


def _preload(pipeline: Pipeline) -> tuple[str, ...]:
    return pipeline.steps[0].facts.imports if pipeline.steps else ()
