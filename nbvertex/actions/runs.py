"""What was run: the list of runs, one of them, and what its cells printed."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nbvertex.errors import UsageError
from nbvertex.home import Home, find
from nbvertex.ledger import lock_of
from nbvertex.lineage import DIED, CellRow, Lineage, Run, StepRow
from nbvertex.locks import is_held

if TYPE_CHECKING:
    from nbvertex.garbage import Found


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a step.

    Args:
        row: what was recorded.
        source: the run that a cached result is from.
        cells: what its cells did, where that was asked for.
    """

    row: StepRow
    source: str | None = None
    cells: tuple[CellRow, ...] = ()

    @property
    def name(self) -> str:
        """Of the step, with the round if it is one: ``train[2]``."""
        return f"{self.row.name}[{self.row.round}]" if self.row.round else self.row.name

    @property
    def seconds(self) -> float | None:
        return (
            None if self.row.started is None or self.row.ended is None else self.row.ended - self.row.started
        )


@dataclass(frozen=True, slots=True)
class Told:
    """A run and its steps.

    Args:
        run: what was recorded; a run whose process is gone without a word has the state ``died``.
        attempts: of all steps, in notebook order.
    """

    run: Run
    attempts: tuple[Attempt, ...]

    @property
    def states(self) -> Counter[str]:
        """How many steps are in which state, by their last attempts."""
        last = {attempt.row.name: attempt.row.state for attempt in self.attempts if not attempt.row.round}
        return Counter(last.values())

    @property
    def seconds(self) -> float | None:
        return None if self.run.ended is None else self.run.ended - self.run.started


def home_of(notebook: str | None) -> Home:
    """Where the runs of a notebook are kept; without one, those of the current folder."""
    return find(Path(notebook) if notebook else Path("notebook.ipynb"))


@contextlib.contextmanager
def opened(home: Home) -> Iterator[Lineage]:
    """The record of the runs of a home.

    Raises:
        UsageError: nothing has been run there.
        StoreError: it cannot be read.
    """
    from nbvertex.database import Database

    if not home.database.exists():
        raise UsageError(f"nothing has been run here: there is no {home.database}", hint="nbvertex run NB")
    database = Database(home.database)
    try:
        yield Lineage(database)
    finally:
        database.close()


def listed(home: Home, *, notebook: str | None = None, limit: int = -1) -> list[Told]:
    """The runs, newest first; none where nothing has been run.

    Args:
        home: where they are kept.
        notebook: only those of this file.
        limit: at most so many; negative: all.
    """
    if not home.database.exists():
        return []
    path = os.path.abspath(notebook) if notebook else None
    with opened(home) as lineage:
        return [_told(home, lineage, run) for run in lineage.runs(notebook=path, limit=limit)]


def shown(home: Home, ident: str) -> Told:
    """One run.

    Raises:
        UsageError: there is no such run.
    """
    with opened(home) as lineage:
        return _told(home, lineage, lineage.run(ident))


def logs(home: Home, ident: str, *, step: str | None = None, attempt: int | None = None) -> list[Attempt]:
    """What the cells of a run did, by step.

    Args:
        home: where the run is kept.
        ident: its id, or enough of it.
        step: only this step; ``train[2]``: this round of it.
        attempt: this attempt, counted from 1; None: the last of each step.

    Raises:
        UsageError: there is no such run, step or attempt.
    """
    with opened(home) as lineage:
        told = _told(home, lineage, lineage.run(ident))
        attempts = [one for one in told.attempts if one.name == step or (step is None and not one.row.round)]
        if not attempts:
            names = dict.fromkeys(one.name for one in told.attempts)
            raise UsageError(
                f"run {told.run.id} has no step {step!r}", hint=f"its steps are {', '.join(names)}"
            )
        wanted = {one.name: one for one in attempts if attempt is None or one.row.attempt == attempt}
        if not wanted:
            most = max(one.row.attempt for one in attempts)
            raise UsageError(
                f"there is no attempt {attempt} in run {told.run.id}", hint=f"there are 1 to {most}"
            )
        return [
            Attempt(one.row, one.source, tuple(lineage.cells(one.row.outcome)) if one.row.outcome else ())
            for one in wanted.values()
        ]


def removed(
    home: Home, *, keep: int | None, older_than: str | None, limit: str | None, dry_run: bool
) -> Found:
    """Remove runs and the values that nothing needs.

    Args:
        home: where they are kept.
        keep: so many of the newest runs of each notebook stay; None: all.
        older_than: runs that began longer ago go, such as ``30d``.
        limit: what values may take, such as ``20GB``.
        dry_run: only find out.

    Raises:
        UsageError: a time or a size is none.
    """
    from nbvertex import config, garbage, options

    try:
        seconds = options.seconds(older_than) if older_than is not None else None
    except options.Wrong:
        raise UsageError(f"--older-than takes a time such as 30d or 12h, not {older_than!a}") from None
    try:
        room = config.size(limit) if limit is not None else None
    except ValueError as error:
        raise UsageError(f"--limit takes {error}, not {limit!a}") from None
    if not home.database.exists():
        return garbage.Found()
    return garbage.collect(home, keep=keep, older_than=seconds, limit=room, dry_run=dry_run)


def _told(home: Home, lineage: Lineage, run: Run) -> Told:
    if run.state == "running" and not is_held(lock_of(home, run.id)):
        run = msgspec.structs.replace(run, state=DIED)
    rows = [_ended(row, run.state) for row in lineage.steps(run.id)]
    sources = lineage.outcomes(row.outcome for row in rows if row.state == "cached" and row.outcome)
    attempts = [Attempt(row, sources[row.outcome].run if row.outcome in sources else None) for row in rows]
    return Told(run, tuple(attempts))


def _ended(row: StepRow, run_state: str) -> StepRow:
    """A step cannot be running in a run that is not: it was broken off with it."""
    return msgspec.structs.replace(row, state=run_state) if row.state == "running" else row


def as_json(told: Told) -> dict[str, Any]:
    """A run as JSON; the pipeline is left out: `show NB --json` prints it."""
    run = told.run
    fields = {name: getattr(run, name) for name in run.__struct_fields__ if name != "pipeline"}
    return {**fields, "steps": [attempt_json(attempt) for attempt in told.attempts]}


def attempt_json(attempt: Attempt, *, cells: bool = False) -> dict[str, Any]:
    """An attempt as JSON, with its cells' outputs if they are wanted."""
    row = attempt.row
    said: dict[str, Any] = {
        "step": row.name,
        "attempt": row.attempt,
        "state": row.state,
        "started": row.started,
        "ended": row.ended,
        "source": attempt.source,
        "error": None if row.state == "skipped" else row.error,
    }
    if row.state == "skipped":
        said["why"] = row.error
    if row.round:
        said |= {"round": row.round, "item": row.item}
    return {**said, "cells": msgspec.to_builtins(attempt.cells)} if cells else said
