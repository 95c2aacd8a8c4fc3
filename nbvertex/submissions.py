"""What was submitted, as rows: each job is written down before it is created, so that none is ever lost or made twice."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from nbvertex.config import Profile
from nbvertex.database import Database, Row, Transaction
from nbvertex.errors import UsageError
from nbvertex.pipeline import Record
from nbvertex.service import ENDED, Kind

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
State = Literal["submitting", "queued", "running", "done", "failed", "interrupted", "unknown"]
"""``submitting``: written down, not known to have been created; ``unknown``: nobody could be asked whether it was."""


class StepSeen(Record, frozen=True, kw_only=True):
    """A step as the service showed it last.

    Args:
        state: in our words.
        attempt: counted from 1.
        error: why it failed.
        started, ended: RFC 3339.
        jobs: the resource names of its custom jobs, for its logs.
        state_url: the folder that it left in the bucket.
    """

    state: str
    attempt: int = 1
    error: str | None = None
    started: str = ""
    ended: str = ""
    jobs: tuple[str, ...] = ()
    state_url: str = ""


class Part(Record, frozen=True, kw_only=True):
    """What a task at the service is of a step.

    Args:
        step: the step.
        role: it runs it (``run``), decides its condition (``decide``), stands in for it (``skip``), lists its
            rounds (``list``), is one (``round``), or gathers them (``gather``).
    """

    step: str
    role: str = "run"


class Job(Record, frozen=True, kw_only=True):
    """One job of a submission.

    Args:
        part: which one, counted from 1.
        kind: a pipeline or a custom job.
        where: its parent.
        ident: the id that it is created under, or would be if the service took one.
        body: the job as it is sent.
        steps: the steps that it runs.
        after: the parts that must have ended well before.
        attempts: how often it may be created, the first time included.
        attempt: which of these this is.
        resource: its name at the service, as soon as that is known.
        state, error: how it is.
        sent: the service has been asked to create it, whatever came of that.
        cancelled: the service has been asked to stop it.
    """

    part: int
    kind: Kind
    where: str
    ident: str
    body: dict[str, Any]
    steps: tuple[str, ...] = ()
    after: tuple[int, ...] = ()
    attempts: int = 1
    attempt: int = 1
    resource: str | None = None
    state: State = "submitting"
    error: str | None = None
    sent: bool = False
    cancelled: bool = False


class Submission(Record, frozen=True, kw_only=True):
    """What was submitted at once.

    Args:
        id: its id, and the label by which its jobs are found.
        notebook: the file.
        name: the pipeline's.
        target: what it was submitted to.
        profile_name, profile: where and as whom.
        parameters: the values that were given.
        started, ended: seconds since the epoch.
        state, error: how it is.
        jobs: its jobs.
        seen: the steps as the service showed them last, in notebook order.
        tasks: name of a task at the service -> what it is.
        uploads: the objects that it needs.
    """

    id: str
    notebook: str
    name: str
    target: str
    profile_name: str
    profile: dict[str, str]
    parameters: dict[str, Any]
    started: float
    jobs: tuple[Job, ...]
    seen: dict[str, StepSeen] = msgspec.field(default_factory=dict)
    tasks: dict[str, Part] = msgspec.field(default_factory=dict)
    uploads: tuple[str, ...] = ()
    state: State = "submitting"
    ended: float | None = None
    error: str | None = None

    @property
    def where(self) -> Profile:
        return Profile(**self.profile)

    @property
    def over(self) -> bool:
        return self.state in ENDED

    def having(self, job: Job) -> Submission:
        """The same with that job in the place of the one that it was."""
        return msgspec.structs.replace(
            self, jobs=tuple(job if one.part == job.part else one for one in self.jobs)
        )


def new_id(at: float, random: bytes | None = None) -> str:
    """An id that no other submission has, wherever it is made: many machines share a project."""
    letters = "".join(LETTERS[byte % len(LETTERS)] for byte in random or os.urandom(8))
    return f"{time.strftime('%Y%m%d-%H%M', time.localtime(at))}-{letters}"


class Submissions:
    """The rows of a home's database that are about submissions.

    Args:
        database: where they lie.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, submission: Submission, *, durable: bool = True) -> None:
        """Write one as it is now.

        Args:
            submission: it.
            durable: before this returns; what the service can be asked again need not be.

        Raises:
            StoreError: it cannot be written; then nothing must be created.
        """
        record = zlib.compress(msgspec.json.encode(submission), 1)
        with self._database.write(durable=durable) as tx:
            _put(tx, submission, record)

    def get(self, ident: str) -> Submission | None:
        """The submission of that id, or whose id begins or ends like that; ``last``: the newest.

        Raises:
            UsageError: more than one is called so.
        """
        if ident == "last":
            rows = self._database.rows(f"{_SELECT} ORDER BY started DESC LIMIT 1")
        else:
            rows = self._database.rows(f"{_SELECT} WHERE id = ?", (ident,)) or self._database.rows(
                f"{_SELECT} WHERE substr(id, 1, ?) = ? OR substr(id, -?) = ? ORDER BY started DESC LIMIT 3",
                (len(ident), ident, len(ident), ident),
            )
        if len(rows) > 1:
            raise UsageError(
                f"more than one submission is called {ident}: {', '.join(one.id for one in map(_read, rows))} ..."
            )
        return _read(rows[0]) if rows else None

    def all(self, *, notebook: str | None = None, limit: int = -1) -> list[Submission]:
        """The submissions, newest first.

        Args:
            notebook: only those of this file.
            limit: at most so many; negative: all.
        """
        where, values = ("WHERE notebook = ?", [notebook]) if notebook is not None else ("", [])
        sql = f"{_SELECT} {where} ORDER BY started DESC, id DESC LIMIT ?"
        return [_read(row) for row in self._database.rows(sql, [*values, limit])]


_SELECT = "SELECT record FROM submissions"


def _put(tx: Transaction, one: Submission, record: bytes) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO submissions (id, notebook, started, state, record) VALUES (?, ?, ?, ?, ?)",
        (one.id, one.notebook, one.started, one.state, record),
    )


def _read(row: Row) -> Submission:
    return msgspec.json.decode(zlib.decompress(row[0]), type=Submission)


def settled(jobs: Iterable[Job]) -> State:
    """The state of a submission, from those of its jobs."""
    states = [job.state for job in jobs]
    for state in ("failed", "interrupted", "unknown"):
        if state in states and all(one in ENDED or one in ("unknown", "submitting") for one in states):
            return state
    if all(state == "done" for state in states):
        return "done"
    return (
        "running" if {"running", "done"} & set(states) else "queued" if "queued" in states else "submitting"
    )
