"""The loop of one run: what is ready starts, side by side; what has ended is recorded, in notebook order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from nbvertex.artifacts import Damaged
from nbvertex.cache import Keys, never
from nbvertex.deck import Deck
from nbvertex.early import Early, untouched
from nbvertex.errors import NbvertexError, StepFailed, StoreError
from nbvertex.events import RunEvent, StepChanged, StepResult, StepState
from nbvertex.files import Files
from nbvertex.flight import Crashed, Flight, Landed
from nbvertex.interrupts import Interrupts
from nbvertex.ledger import Entry, Ledger
from nbvertex.lineage import Outcome, Touched
from nbvertex.locks import Lock
from nbvertex.past import Past
from nbvertex.plan import Plan, Planned
from nbvertex.results import as_placed, result_of, row_of
from nbvertex.rounds import task_of
from nbvertex.state import MISSING_ENTRY, Inputs, State

IDLE = 0.25  # seconds after which a wait is broken off to write what is known
TURN = 0.02  # seconds between two looks at a lock that another run holds
AHEAD = 64  # steps beyond the next one that are looked at
MOST_MENDS = 3  # of one artifact in one run


class Conductor:
    """The loop of one run: what is ready starts, what has ended is recorded in notebook order.

    Args:
        plan: the steps.
        ledger: the run's book, open.
        deck: where attempts run.
        keys: makes the keys of the cache; None: nothing is taken from it.
        files: tells what is in files.
        jobs: how many steps compute at the same time.
        backoff: seconds to wait after attempt n.
        tell: hears every event.
        still: what all steps find, whatever the others do: they are rounds of one step. None: each finds what those
            before it have left.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        deck: Deck,
        *,
        keys: Keys | None,
        files: Files,
        jobs: int,
        backoff: Callable[[int], float],
        tell: Callable[[RunEvent], None],
        still: State | None = None,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.deck = deck
        self.results: dict[int, StepResult] = {}
        self.failure: NbvertexError | None = None
        self.left: NbvertexError | None = None  # where and how the notebook ended the run itself
        self._keys = keys
        self._files = files
        self._jobs = jobs
        self._backoff = backoff
        self._tell = tell
        self._early = Early(plan.steps, apart=still is not None)
        self._state = still or State()
        self._head = plan.first  # the step that is recorded next
        self._outcomes: dict[int, Outcome] = {}  # of all before it
        self._flights: dict[int, Flight] = {}
        self._tries: dict[int, int] = {}  # place of a step -> its attempts so far
        self._again: dict[int, str] = {}  # place of a step -> why it starts once more
        self._mended: Counter[str] = Counter()
        self._locks: list[Lock] = []  # of results that are not yet durable
        self._not_before = 0.0
        self._looked = (-1, -1, -1)
        self._interrupts = Interrupts()

    def take_over(self, past: Past, *, source: str | None) -> None:
        """Begin with what an earlier run has done.

        Args:
            past: what it did.
            source: its id, where this is another run.
        """
        for place, (row, outcome) in past.done.items():
            if source is not None and place >= self.plan.first:
                break
            flight = Flight(self.plan.steps[place], row.attempt, Inputs(), early=False, recorded=True)
            flight.cells = as_placed(flight.planned, self.ledger.lineage.cells(outcome.id))
            cached = source is not None or row.state == "cached"
            state: StepState = "skipped" if row.state == "skipped" else "cached" if cached else "done"
            self._apply(place, outcome)
            self.results[place] = result_of(flight, state, outcome, why=row.error)
            if source is not None:
                again = msgspec.structs.replace(
                    row, state=state if state == "skipped" else "cached", attempt=1, outcome=outcome.id
                )
                self.ledger.ended(Entry(again))
        if source is None:
            self._tries = dict(past.tries)
            self._head = max(self.plan.first, len(past.done))

    def go(self, interrupts: Interrupts) -> None:
        """Run until every step is recorded or one has failed.

        Raises:
            KeyboardInterrupt: somebody asked to stop.
            NbvertexError: the run cannot go on.
        """
        self._interrupts = interrupts
        if self._keys is None or any(never(p.step) for p in self.plan.steps[self._head : self.plan.end]):
            self.deck.warm_up()
        while True:
            interrupts.check()
            self._record_what_ended()
            if self.failure is not None:
                return
            if self.left is not None or self._head >= self.plan.end:
                self._save()
                return
            self._launch()
            if self.ledger.unsaved:
                self._save()
            self._confirm_head()
            head = self._flights.get(self._head)
            if (head is None or head.running) and not self.deck.hear(self._patience(), interrupts):
                self._save()

    def stop(self, why: str) -> None:
        """Leave no process; the step whose turn it was has failed, the others were never there.

        Args:
            why: what to say of it.
        """
        head = self._flights.get(self._head)
        was_running = head is not None and head.running and not head.early
        self.deck.close()
        self.ledger.clear()
        if head is not None and was_running:
            self._broken_off(head, why)

    def _broken_off(self, flight: Flight, why: str) -> None:
        """Record the step whose turn it was as failed."""
        outcome = Outcome(run=self.ledger.run, started=flight.started, ended=time.time())
        row = row_of(flight, "failed", ended=outcome.ended, error=why)
        self.ledger.ended(Entry(row, outcome, tuple(flight.cells.values())))
        self.results[self._head] = result_of(flight, "failed", outcome, why=why)
        self._tell_step(flight, "failed", at=outcome.ended, error=why)

    def unlock(self) -> None:
        """Let other runs compute what this one was at."""
        for flight in self._flights.values():
            flight.unlock()
        self._unlock_saved()

    def _save(self) -> None:
        self.ledger.flush()
        self._unlock_saved()

    def _unlock_saved(self) -> None:
        for lock in self._locks:
            lock.release()
        self._locks.clear()

    def _patience(self) -> float:
        if self._head in self._flights:
            return IDLE
        return min(IDLE, max(TURN, self._not_before - time.monotonic()))

    # --- starting ----------------------------------------------------------------------------------------

    def _launch(self) -> None:
        if self._head not in self._flights and time.monotonic() >= self._not_before:
            self._open_head(self.plan.steps[self._head])
            if self.failure is not None or self._head >= self.plan.end:
                return
        look = (self._head, len(self._flights), self.deck.changes)
        if self._jobs > 1 and look != self._looked:
            self._looked = look
            self._launch_early()

    def _open_head(self, planned: Planned) -> None:
        """Begin with the step whose turn it is."""
        self._open(planned, self._state)

    def _launch_early(self) -> None:
        """Start steps whose turn has not come, on what is known so far."""
        view, head = self._state, self._head
        for planned in self.plan.steps[self._head : min(self.plan.end, self._head + AHEAD)]:
            if self.deck.busy >= self._jobs or self.deck.waiting >= self._jobs:
                return
            flight = self._flights.get(planned.index)
            ready = all(self._has_landed(need) for need in planned.needs)
            if flight is None and ready and self._may_start_early(planned):
                try:
                    self._open(planned, view)
                except StoreError as error:
                    if error.code != MISSING_ENTRY:
                        raise
                    return  # what it would read rests on a step that is running again
                if self._head != head:  # it went back to mend something
                    return
                flight = self._flights.get(planned.index)
            if flight is not None and flight.landed is not None:
                view = view.copy() if view is self._state else view
                view.apply(flight.landed.outcome.change)
            elif not self._early.lets_pass(planned):
                return

    def _may_start_early(self, planned: Planned) -> bool:
        """Whether it is worth it; what was started too early once waits for its turn."""
        later = planned.index > self._head and planned.index not in self._again
        return later and self._early.may_start(planned)

    def _has_landed(self, place: int) -> bool:
        return place < self._head or (place in self._flights and self._flights[place].landed is not None)

    def _open(self, planned: Planned, state: State) -> None:
        """Take a step's result from the cache, or start it; neither while another run computes the same."""
        ahead = planned.index > self._head
        flight = Flight(
            planned, self._tries.get(planned.index, 0) + 1, state.inputs(planned.wanted), early=ahead
        )
        flight.task = task_of(planned)
        try:
            if not self._is_remembered(flight):
                flight.early = ahead or self.ledger.unsaved
                if not self._own(flight):
                    return
                if flight.running:
                    self.deck.start(flight)
        except Damaged as damage:
            flight.unlock()
            self._mend(damage)
            return
        self._flights[planned.index] = flight
        if flight.running:
            self._tries[planned.index] = flight.number
            self.ledger.started(row_of(flight, "running"))
            again = self._again.pop(planned.index, None)
            self._tell_step(flight, "running", at=flight.started, again=again)

    def _own(self, flight: Flight) -> bool:
        """Keep other runs from computing the same; False while one of them does."""
        if flight.key is None:
            return True
        lock = Lock(self.ledger.home.locks / f"key-{flight.key}")
        if not lock.acquire():
            if flight.planned.index == self._head:  # whoever waits holds nothing that others wait for
                for other in self._flights.values():
                    other.unlock()
            return False
        flight.lock = lock
        if self._is_remembered(flight):  # it was computed while we looked
            flight.unlock()
        return True

    def _is_remembered(self, flight: Flight) -> bool:
        if self._keys is None:
            return False
        planned = flight.planned
        flight.key = flight.key or self._keys.key(planned, flight.inputs)
        outcome = None if flight.key is None else self.ledger.recall(flight.key, planned.live, self._files)
        if outcome is None:
            return False
        flight.cells = as_placed(planned, self.ledger.lineage.cells(outcome.id))
        flight.land(Landed(outcome))
        return True

    def _confirm_head(self) -> None:
        """The head may do what others can see, once all before it is durable and what it read still holds."""
        flight = self._flights.get(self._head)
        if flight is None or not flight.early or not flight.running or self.ledger.unsaved:
            return
        aside = untouched(flight.planned, flight.inputs, self._state.inputs(flight.planned.wanted))
        if aside is None or (aside and flight.waiting):
            self._throw_away(flight)
        elif not aside:
            self.deck.confirm(flight)

    def _holds(self, flight: Flight) -> bool:
        """Whether an early attempt that has ended is as good as one that begins now."""
        aside = untouched(flight.planned, flight.inputs, self._state.inputs(flight.planned.wanted))
        landed = flight.landed
        if aside is None or landed is None:
            return aside is not None and not aside
        if flight.recorded:
            return not aside
        if self._keys is not None and self._keys.key(flight.planned, flight.inputs) != flight.key:
            return False  # a file has changed since
        if flight.cached:
            return not aside and self._files.same(landed.outcome.read)
        read = self._files.inputs(landed.outcome.touched.read)
        return aside.isdisjoint(landed.outcome.change.names) and not self._files.touched_since(
            read, flight.started
        )

    def _throw_away(self, flight: Flight) -> None:
        del self._flights[flight.planned.index]
        if flight.job:
            self._tries[flight.planned.index] -= 1
            self._again[flight.planned.index] = "stale"
        if flight.landed is not None and not flight.recorded:
            self.ledger.let_go(flight.landed.outcome.change)
        flight.unlock()
        self.deck.drop(flight)

    # --- recording ---------------------------------------------------------------------------------------

    def _record_what_ended(self) -> None:
        while self.failure is None and self.left is None and self._head < self.plan.end:
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
        outcome = landed.outcome
        if flight.recorded:
            self._apply(self._head, outcome)
            self._head += 1
            return
        if flight.cached:
            try:
                self.ledger.restore(outcome, self._files)
            except Damaged as damage:
                self.ledger.forget(damage.digest)
                return
            why = None
            row = row_of(flight, "cached", ended=time.time(), outcome=outcome.id)
            self.ledger.ended(Entry(row, key=flight.key))
        else:
            outcome, why = self._judged(flight, landed)
            row = row_of(flight, "done", ended=outcome.ended)
            self.ledger.ended(Entry(row, outcome, tuple(flight.cells.values()), None if why else flight.key))
        if flight.lock is not None:
            self._locks.append(flight.lock)
        self._apply(self._head, outcome)
        self.results[self._head] = result_of(flight, "cached" if flight.cached else "done", outcome, why=why)
        self._head += 1
        self._tell_step(
            flight, "cached" if flight.cached else "done", at=row.ended or 0.0, source=outcome.run
        )

    def _judged(self, flight: Flight, landed: Landed) -> tuple[Outcome, str | None]:
        """The outcome with the files it depends on, and why it may not stand for another run."""
        if self._keys is None or flight.key is None:
            return landed.outcome, never(flight.planned.step)
        touched = landed.outcome.touched
        kept = self._keys.judge(
            flight.planned, flight.inputs, landed.outcome.change, touched.read, touched.written
        )
        if kept.why_not is None:
            self.ledger.keep_files(kept.written)
        written = () if kept.why_not else kept.written
        return msgspec.structs.replace(landed.outcome, read=kept.read, written=written), kept.why_not

    def _apply(self, place: int, outcome: Outcome) -> None:
        self._outcomes[place] = outcome
        self._state.apply(outcome.change)

    def _crashed(self, flight: Flight, crash: Crashed) -> None:
        if not flight.cells and (bad := self.ledger.damaged(flight.inputs.held)) is not None:
            flight.unlock()
            self._mend(Damaged(bad.digest, "is damaged"))
            return
        now, why = time.time(), str(crash.error)
        outcome = Outcome(
            run=self.ledger.run,
            touched=Touched(read=crash.read),
            widgets=dict(crash.widgets),
            started=flight.started,
            ended=now,
        )
        state: StepState = "done" if crash.wanted else "failed"
        row = row_of(flight, state, ended=now, error=why)
        self.ledger.ended(Entry(row, outcome, tuple(flight.cells.values())))
        flight.unlock()
        if crash.wanted:
            self.left = crash.error
            self.results[self._head] = result_of(flight, state, outcome, why=why)
            self._head += 1  # it is no longer under way
        elif crash.again and flight.number <= flight.planned.step.options.retries:
            self._not_before = time.monotonic() + self._backoff(flight.number)
            self._again[self._head] = "retry"
        else:
            self.failure = crash.error
            if isinstance(crash.error, StepFailed):
                self._explain(flight, crash.error)
            self.results[self._head] = result_of(flight, "failed", outcome, why=why)
        self._tell_step(flight, state, at=now, error=None if crash.wanted else why)

    def _explain(self, flight: Flight, error: StepFailed) -> None:
        """Say what to do about an error that ends the run."""
        if error.hint is None:
            error.hint = f"when it is mended, `nbvertex runs resume {self.ledger.run}` goes on from here"

    def _mend(self, damage: Damaged) -> None:
        """Go back to the step that made a damaged artifact; what came after it stands if it makes the same again.

        Raises:
            StoreError: no step of this run made it, or it is damaged again and again.
        """
        digest = damage.digest
        makers = [
            p for p, o in self._outcomes.items() if any(held.digest == digest for held in o.change.held)
        ]
        self._mended[digest] += 1
        if not makers or max(makers) < self.plan.first or self._mended[digest] > MOST_MENDS:
            raise damage
        self._save()
        self.ledger.forget(digest)
        state = State()
        outcomes, self._outcomes = self._outcomes, {}
        for place in sorted(outcomes):
            if place < max(makers):
                self._outcomes[place] = outcomes[place]
            elif place > max(makers):
                planned = self.plan.steps[place]
                flight = Flight(
                    planned, self._tries.get(place, 1), state.inputs(planned.wanted), True, recorded=True
                )
                flight.land(Landed(outcomes[place]))
                self._flights[place] = flight
            if place == max(makers):
                self._state = state.copy()
            state.apply(outcomes[place].change)
        self._head = max(makers)

    def _tell_step(self, flight: Flight, state: StepState, *, at: float, **more: Any) -> None:
        self._tell(
            StepChanged(
                run=self.ledger.run,
                step=flight.planned.name,
                state=state,
                at=at,
                attempt=flight.number,
                seconds=at - flight.started if state in ("done", "failed") else None,
                round=flight.round,
                item=flight.planned.round.told if flight.planned.round is not None else None,
                **more,
            )
        )
