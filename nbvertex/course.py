"""The loop of a run whose steps may stand under a condition or over a list: what is taken, and the rounds of a step."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nbvertex import rounds
from nbvertex.artifacts import Damaged
from nbvertex.choice import Choice, choose
from nbvertex.conductor import Conductor
from nbvertex.errors import StepFailed
from nbvertex.events import StepResult
from nbvertex.flight import Crashed, Flight, Landed
from nbvertex.ledger import Entry
from nbvertex.lineage import Outcome, StepRow
from nbvertex.past import Past
from nbvertex.pipeline import Each
from nbvertex.plan import Plan, Planned
from nbvertex.results import as_placed, result_of, row_of
from nbvertex.state import Inputs

Done = Mapping[int, tuple[StepRow, Outcome]]  # round -> its row and what it left
MISSING = re.compile(r"NameError: name '(\w+)' is not defined")


class Rounds(Conductor):
    """The loop of one step's rounds; none of them sees what another does."""

    def outcome(self, place: int) -> Outcome:
        """What a round has left that is recorded."""
        return self._outcomes[place]

    def remember(self, done: Done) -> None:
        """Take over rounds that an earlier try has done on the same items and values."""
        for planned in self.plan.steps:
            row, outcome = done.get(planned.round.number if planned.round else 0, (None, None))
            if row is None or outcome is None:
                continue
            flight = Flight(planned, row.attempt, self._state.inputs(planned.wanted), False, recorded=True)
            now = row_of(flight, "done")
            if (now.code, now.inputs) == (row.code, row.inputs):
                flight.cells = as_placed(planned, self.ledger.lineage.cells(outcome.id))
                flight.land(Landed(outcome))
                self._flights[planned.index] = flight
                self.results[planned.index] = result_of(flight, "done", outcome)
                self._tries[planned.index] = row.attempt

    def salvage(self) -> None:
        """Record the rounds after one that failed which have ended well: a later try need not repeat them."""
        for place, flight in sorted(self._flights.items()):
            landed = flight.landed
            if place == self._head or landed is None or flight.recorded or flight.cached:
                continue
            if self._holds(flight):
                outcome, why = self._judged(flight, landed)
                row = row_of(flight, "done", ended=outcome.ended)
                key = None if why else flight.key
                self.ledger.ended(Entry(row, outcome, tuple(flight.cells.values()), key))
                self.results[place] = result_of(flight, "done", outcome, why=why)

    def abandon(self) -> None:
        """Stop what is under way: what all rounds read has to be made again first."""
        for flight in self._flights.values():
            flight.unlock()
            self.deck.drop(flight)

    def _explain(self, flight: Flight, error: StepFailed) -> None:
        """Say in which round it was; what to do is said of the step."""
        one = flight.planned.round
        if one is not None:
            error.message += f" (round {one.number}: {one.told})"


@dataclass(slots=True)
class Loop:
    """A step that runs over a list, while its rounds are under way.

    Args:
        flight: of the step as a whole.
        each: its list.
        conductor: of the rounds.
    """

    flight: Flight
    each: Each
    conductor: Rounds

    @property
    def results(self) -> tuple[StepResult, ...]:
        """What the rounds did, in order, as far as they are known."""
        found = self.conductor.results
        return tuple(found[place] for place in sorted(found))

    def ended(self) -> Flight:
        """The flight of the step, with what its cells have shown in all rounds."""
        self.flight.cells = rounds.cells(self.flight.planned, self.results)
        self.flight.rounds = self.results
        return self.flight


class Course(Conductor):
    """The loop of a run."""

    _loop: Loop | None = None  # the step whose rounds are under way
    _done: Mapping[int, Done] = {}  # place of a step -> its rounds that an earlier try has done

    @functools.cached_property
    def _choices(self) -> dict[int, Choice]:
        """Place of a step under a condition -> whether it is taken."""
        return {}

    def take_over(self, past: Past, *, source: str | None) -> None:
        """Begin with what an earlier run has done, see `Conductor.take_over`."""
        super().take_over(past, source=source)
        if source is None:
            self._done = past.rounds

    def stop(self, why: str) -> None:
        """Leave no process, see `Conductor.stop`."""
        if self._loop is None:
            super().stop(why)
        else:
            self._loop.conductor.stop(why)
            self._broken_off(self._loop.ended(), why)

    def unlock(self) -> None:
        """Let other runs compute what this one was at."""
        super().unlock()
        if self._loop is not None:
            self._loop.conductor.unlock()

    def _may_start_early(self, planned: Planned) -> bool:
        """A condition is decided, and a list is looked at, when it is the step's turn."""
        options = planned.step.options
        return not (options.when or options.each) and super()._may_start_early(planned)

    def _mend(self, damage: Damaged) -> None:
        """Go back to the step that made a damaged artifact, see `Conductor._mend`."""
        super()._mend(damage)
        self._choices.clear()

    @property
    def _ask(self) -> Callable[[Flight], Mapping[str, object]]:
        return functools.partial(self.deck.ask, interrupts=self._interrupts)

    # --- conditions --------------------------------------------------------------------------------------

    def _open_head(self, planned: Planned) -> None:
        """Begin with the step whose turn it is, if it is taken."""
        when = planned.step.options.when
        try:
            if when is not None and planned.index not in self._choices:
                choice = choose(planned, when, self._state, self.ledger, self._ask, self.deck.notebook)
                self._choices[planned.index] = choice
        except Damaged as damage:
            self._mend(damage)
            return
        except StepFailed as error:
            self._crashed(self._whole(planned), Crashed(error, again=False))
            return
        choice = self._choices.get(planned.index, Choice(True, ""))
        if not choice.taken:
            self._skip(planned, choice.why)
        elif planned.step.options.each is None:
            super()._open_head(planned)
        else:
            self._run_rounds(planned, planned.step.options.each)

    def _whole(self, planned: Planned) -> Flight:
        """An attempt of a step that needs no process of its own."""
        return Flight(planned, self._tries.get(planned.index, 0) + 1, Inputs(), early=False)

    def _skip(self, planned: Planned, why: str) -> None:
        """Record a step whose condition does not hold."""
        flight, now = self._whole(planned), time.time()
        outcome = Outcome(run=self.ledger.run, started=flight.started, ended=now)
        self.ledger.ended(Entry(row_of(flight, "skipped", ended=now, error=why), outcome))
        self._apply(self._head, outcome)
        self.results[self._head] = result_of(flight, "skipped", outcome, why=why)
        self._head += 1
        self._tell_step(flight, "skipped", at=now, why=why)

    def _explain(self, flight: Flight, error: StepFailed) -> None:
        """Say what to do about an error, where a name is missing because a step was not taken."""
        missing = MISSING.match(error.message)
        for place, result in self.results.items() if missing else ():
            other = self.plan.steps[place].step
            if missing and result.state == "skipped" and missing[1] in other.facts.binds:
                error.hint = (
                    f"`{missing[1]}` is bound only in step {other.name}, which was not taken ({result.why}): bind it "
                    f"in a step before, or give step {flight.planned.name} the same condition"
                )
        super()._explain(flight, error)

    # --- lists -------------------------------------------------------------------------------------------

    def _run_rounds(self, planned: Planned, each: Each) -> None:
        """Run all rounds of a step to their end, then start what gathers them."""
        for other in self._flights.values():
            other.unlock()  # whoever waits holds nothing that others wait for
        flight = self._whole(planned)
        self._tries[planned.index] = flight.number
        self.ledger.started(row_of(flight, "running"))
        self._tell_step(flight, "running", at=flight.started)
        try:
            parts = rounds.planned(planned, each, self._state, self.ledger, self._ask, self.deck.notebook)
            self._loop = Loop(flight, each, self._conductor_of(parts))
            self._loop.conductor.remember(self._done.get(planned.index, {}))
            self._loop.conductor.go(self._interrupts)
            self._close(self._loop)
        except Damaged as damage:
            if self._loop is not None:
                self._loop.conductor.abandon()
            self._mend(damage)
        except StepFailed as error:
            self._crashed(flight, Crashed(error, again=False))
        self._loop = None

    def _conductor_of(self, parts: tuple[Planned, ...]) -> Rounds:
        return Rounds(
            Plan(parts, 0, len(parts)),
            self.ledger,
            self.deck,
            keys=self._keys,
            files=self._files,
            jobs=self._jobs,
            backoff=self._backoff,
            tell=self._tell,
            still=rounds.Still(self._state),
        )

    def _close(self, loop: Loop) -> None:
        """The rounds have ended: make one step of them, or fail as one has failed."""
        inner, flight = loop.conductor, loop.ended()
        error = inner.failure or inner.left
        if error is not None:
            inner.salvage()
            inner.unlock()
            self._crashed(flight, Crashed(error, again=False, wanted=inner.left is not None))
            return
        outcomes = [inner.outcome(place) for place in range(len(inner.plan.steps))]
        gather = rounds.gathering(flight.planned, loop.each, self._state, outcomes, self.ledger)
        gather.number, gather.started, gather.cells = flight.number, flight.started, flight.cells
        gather.rounds = loop.results
        if self._keys is None:
            gather.key = None
        elif all(result.state == "cached" for result in loop.results):
            known = self.ledger.recall(gather.key or "", flight.planned.live, self._files)
            if known is not None:
                gather.land(Landed(known))
        if gather.running:
            self.deck.start(gather)
        self._flights[self._head] = gather

    def _judged(self, flight: Flight, landed: Landed) -> tuple[Outcome, str | None]:
        """The outcome, and why it may not stand for another run: as its rounds say."""
        if flight.rounds is None:
            return super()._judged(flight, landed)
        why = next((one.why for one in flight.rounds if one.why), None)
        return rounds.with_all(landed.outcome, flight.rounds), why
