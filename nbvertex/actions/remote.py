"""Runs at Vertex AI, beside those here: listed, looked at as they are now, their logs, and how to stop them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from nbvertex.errors import RemoteError, UsageError
from nbvertex.home import Home
from nbvertex.pipeline import Record
from nbvertex.service import link

if TYPE_CHECKING:
    from nbvertex.follow import Means
    from nbvertex.service import Line
    from nbvertex.submissions import Submission, Submissions
    from nbvertex.vertex import Door


@contextlib.contextmanager
def book_of(home: Home) -> Iterator[Submissions]:
    """The record of what was submitted from a home.

    Raises:
        StoreError: it cannot be read.
    """
    from nbvertex.database import Database
    from nbvertex.submissions import Submissions

    home.prepare()
    database = Database(home.database)
    try:
        yield Submissions(database)
    finally:
        database.close()


def listed(home: Home, *, notebook: str | None = None, limit: int = -1) -> list[Submission]:
    """What was submitted, newest first, as it was seen last.

    Args:
        home: where it is written down.
        notebook: only of this file, by its absolute path.
        limit: at most so many; negative: all.
    """
    if not home.database.exists():
        return []
    with book_of(home) as book:
        return book.all(notebook=notebook, limit=limit)


def named(home: Home, ident: str) -> Submission | None:
    """The submission that is meant; None: it is none, but may be a run here.

    Args:
        home: where it is written down.
        ident: its id, or enough of it; ``last``: the newest of all runs, here or there.

    Raises:
        UsageError: more than one is called so.
    """
    if not home.database.exists():
        return None
    with book_of(home) as book:
        found = book.get(ident)
    if found is None or ident != "last":
        return found
    from nbvertex.actions import runs

    here = runs.listed(home, limit=1)
    return found if not here or here[0].run.started < found.started else None


def shown(home: Home, submission: Submission, door: Door | None = None) -> tuple[Submission, str | None]:
    """A submission as it is now, and why it could not be asked; then it is as it was seen last.

    Args:
        home: where it is written down.
        submission: as it was.
        door: to the service; None: Google's.
    """
    from nbvertex import remote_state
    from nbvertex.follow import LOOKING
    from nbvertex.ledger import lock_of
    from nbvertex.locks import is_held
    from nbvertex.once import Maker
    from nbvertex.patience import Fault

    if submission.over:
        return submission, None
    try:
        with _means(home, submission, lambda line: None, door) as means:
            patience = means.patience(LOOKING)
            maker = Maker(means.door, patience, submission.id, means.sleep)
            found = remote_state.refreshed(means.door, patience, maker, submission, now=means.now)
            if not is_held(lock_of(home, submission.id)):
                found = remote_state.closed(_left(found), means.now)
            means.book.write(found)
            return found, None
    except Fault as fault:
        return submission, fault.error().message
    except RemoteError as error:
        return submission, error.message


def _left(submission: Submission) -> Submission:
    """Jobs that were not created are created by nobody any more: the process that would have is gone."""
    why = "the command that would have created it is gone"
    for job in submission.jobs:
        if job.resource is None and job.state == "submitting":
            submission = submission.having(msgspec.structs.replace(job, state="interrupted", error=why))
    return submission


def logs(
    home: Home, submission: Submission, step: str | None = None, door: Door | None = None
) -> list[tuple[str, Line]]:
    """What the steps of a submission have printed, each line with its step.

    Args:
        home: where it is written down.
        submission: which.
        step: only this one.
        door: to the service; None: Google's.

    Raises:
        UsageError: there is no such step.
        RemoteError: the log cannot be read.
    """
    from nbvertex import remote_state
    from nbvertex.follow import LOOKING
    from nbvertex.logs import Logs

    steps = tuple(dict.fromkeys(name for job in submission.jobs for name in job.steps))
    if step is not None and step not in steps:
        raise UsageError(
            f"run {submission.id} has no step {step!r}", hint=f"its steps are {', '.join(steps)}"
        )
    submission, trouble = shown(home, submission, door)
    if trouble is not None:
        raise RemoteError(f"the log cannot be read: {trouble}")
    said: list[str] = []
    with _means(home, submission, said.append, door) as means:
        owners = remote_state.owners(submission)
        wanted = [name for one, seen in submission.seen.items() if step in (None, one) for name in seen.jobs]
        reading = Logs(
            means.door, means.patience(LOOKING), str(submission.where.project), said.append, means.now
        )
        found = [(owners.get(line.job, ""), line) for line in reading.read(wanted)]
    if said:
        raise RemoteError(said[0])
    return found


def cancel(home: Home, submission: Submission, say: Callable[[str], None], door: Door | None = None) -> bool:
    """Ask the service to stop a submission.

    Args:
        home: where it is written down.
        submission: which.
        say: is told what was asked, and what is left.
        door: to the service; None: Google's.

    Returns:
        whether nothing of it is left that nobody has asked to stop.

    Raises:
        UsageError: it has ended.
        RemoteError: Google's clients are not installed.
    """
    from nbvertex import follow
    from nbvertex.service import ENDED

    if submission.over:
        raise UsageError(f"run {submission.id} has ended: {submission.state}")
    with _means(home, submission, say, door) as means:
        stopped = follow.cancelled(means, submission)
        means.book.write(stopped)
    return all(job.cancelled or job.state in ENDED for job in stopped.jobs)


@contextlib.contextmanager
def _means(
    home: Home, submission: Submission, say: Callable[[str], None], door: Door | None
) -> Iterator[Means]:
    from nbvertex.follow import Means
    from nbvertex.reaching import reached

    with contextlib.ExitStack() as stack:
        book = stack.enter_context(book_of(home))
        way = door or stack.enter_context(reached(submission.where))
        yield Means(way, book, say=say)


def links(submission: Submission) -> list[str]:
    """Where the console shows its jobs."""
    return [link(job.resource, submission.where) for job in submission.jobs if job.resource is not None]


def as_json(submission: Submission) -> dict[str, Any]:
    """A submission as JSON; what was sent is left out: `submit --dry-run` prints it."""
    said = {
        name: getattr(submission, name)
        for name in submission.__struct_fields__
        if name not in ("tasks", "seen", "jobs")
    }
    steps = [{"step": name, **_fields(seen)} for name, seen in submission.seen.items()]
    jobs = [{k: v for k, v in _fields(job).items() if k != "body"} for job in submission.jobs]
    return {"where": "vertex", **said, "steps": steps, "jobs": jobs, "links": links(submission)}


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
