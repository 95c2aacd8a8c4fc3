"""Submit a notebook to Vertex AI: rendered, written down, uploaded, created, followed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbvertex.actions import converting
from nbvertex.actions.reading import Opened
from nbvertex.actions.running import Given, resolve
from nbvertex.errors import NbvertexError, Problem, Refused, RemoteError, StepFailed, StoreError
from nbvertex.events import RunEvent
from nbvertex.home import Home, find

if TYPE_CHECKING:
    from nbvertex.drafts import Draft
    from nbvertex.follow import Means
    from nbvertex.profiles import Chosen
    from nbvertex.submissions import Submission, Submissions
    from nbvertex.vertex import Call, Door


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be submitted.

    Args:
        target: to what.
        profile: the name of a profile; None: the one that the settings name.
        given: values for parameters.
        said: how it is written.
    """

    target: str
    profile: str | None = None
    given: Given = field(default_factory=Given)
    said: converting.Said = field(default_factory=converting.Said)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission of which nobody but us knows yet.

    Args:
        submission: its row, not written.
        draft: what it sends.
        chosen: the profile.
        home: where it is written down.
        steps: the names of the steps.
        warnings: what is odd but no error.
        opened: the notebook.
    """

    opened: Opened
    submission: Submission
    draft: Draft
    chosen: Chosen
    home: Home
    steps: tuple[str, ...]
    warnings: tuple[Problem, ...]


def prepare(opened: Opened, wanted: Wanted) -> Prepared:
    """Everything that can be done, and refused, before a service is asked.

    Args:
        opened: the notebook.
        wanted: how it is submitted.

    Raises:
        UsageError: there is no such target or profile.
        ParameterError: a value does not fit.
        ProblemsFound: the profile lacks something, the target cannot express something, something must not travel.
    """
    from nbvertex import config, drafts, profiles, submissions

    path = Path(opened.notebook.path)
    settings = config.load(path)
    chosen = profiles.choose(settings, wanted.profile)
    profiles.check(chosen, settings)
    values = resolve(opened.pipeline, wanted.given)
    drafts.check_secrets(opened.pipeline)
    written = converting.convert(opened, wanted.target, wanted.said, profile=chosen.profile)
    started = time.time()
    ident = submissions.new_id(started)
    asked = drafts.Asked(opened.pipeline, written.files, values, chosen.profile, ident)
    drafted = drafts.draft(wanted.target, asked)
    submission = submissions.Submission(
        id=ident,
        notebook=os.path.abspath(path),
        name=opened.pipeline.name,
        target=wanted.target,
        profile_name=chosen.name,
        profile={name: value for name, value in asdict(chosen.profile).items() if value is not None},
        parameters=values,
        started=started,
        jobs=drafted.jobs,
        tasks=dict(drafted.tasks),
        uploads=tuple(one.url for one in drafted.uploads),
    )
    steps = tuple(step.name for step in opened.pipeline.steps)
    return Prepared(opened, submission, drafted, chosen, find(path), steps, written.warnings)


def requests(prepared: Prepared) -> list[dict[str, Any]]:
    """Every request that the submission makes, in order, without the questions about how it is."""
    from nbvertex import once

    uploads = [
        {
            "method": "storage.objects.insert",
            "resource": one.url,
            "if_generation_match": 0,
            "bytes": len(one.data),
        }
        for one in prepared.draft.uploads
    ]
    calls: list[Call] = [once.sent(prepared.submission.id, job) for job in prepared.submission.jobs]
    return [*uploads, *({"method": c.method, "resource": c.resource, "body": dict(c.body)} for c in calls)]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission.

    Args:
        submission: as it was last.
        error: what whoever submitted should be told; None where all is well.
        output: the notebook with what its cells showed there; None where it could not be had.
    """

    submission: Submission
    error: NbvertexError | None = None
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Ears:
    """Who hears of a submission.

    Args:
        on_event: hears what happens.
        on_created: hears when all that can be created has been: the link is known then.
        say: is told what is no event, a line each.
    """

    on_event: Callable[[RunEvent], None] = lambda event: None
    on_created: Callable[[Submission], None] = lambda submission: None
    say: Callable[[str], None] = lambda line: None


def submit(
    prepared: Prepared, *, wait: bool = True, ears: Ears | None = None, door: Door | None = None
) -> Submitted:
    """Submit, and follow to the end.

    Args:
        prepared: what.
        wait: until it has ended; else only until it has been created.
        ears: who hears of it.
        door: to the service; None: Google's.

    Raises:
        RemoteError: it was not created, or nobody can tell; or it may be followed no longer.
        KeyboardInterrupt: somebody has asked to stop; the service has been asked to.
        StoreError: it cannot be written down; then nothing is created.
        Refused: it cannot go on by itself.
    """
    from nbvertex.actions import telling
    from nbvertex.follow import Following, Means

    ears = ears or Ears()
    if not wait and any(job.after or job.attempts > 1 for job in prepared.submission.jobs):
        raise Refused(
            "jobs that wait for each other, or are tried again, are created by this command: it must wait",
            hint="leave out --no-wait, or submit to vertex-pipeline, where the service does that",
        )
    with _book(prepared) as book, _door(prepared, door, stays=not wait) as way:
        means = Means(way, book, ears.on_event, ears.say)
        book.write(prepared.submission)  # before anything is created
        following = Following(means, prepared.submission, prepared.steps)
        last = following.run(prepared.draft.uploads, wait=wait, on_created=ears.on_created)
        if not wait:
            warning = telling.of_submission(means, last)
            if warning is not None:
                ears.say(warning)
            return Submitted(last)
        return _brought_home(prepared, means, last, _error(last, following.lines))


def _brought_home(
    prepared: Prepared, means: Means, last: Submission, error: NbvertexError | None
) -> Submitted:
    """The output notebook of what has ended; a run that went well is not undone where it cannot be had."""
    from nbvertex.actions import fetching, telling
    from nbvertex.follow import LOOKING
    from nbvertex.patience import Fault

    warning = telling.of_submission(means, last)
    if warning is not None:
        means.say(warning)

    try:
        result = fetching.result_of(means.door, means.patience(LOOKING), prepared.opened, last, error)
        if error is not None and error.place.cell is None:
            error = fetching.failure(result, prepared.opened.pipeline.notebook) or error
        output = fetching.write(prepared.opened, prepared.home, replace(result, error=error))
    except (Fault, StoreError) as trouble:
        means.say(f"the output notebook could not be brought here: {trouble}")
        return Submitted(last, error)
    return Submitted(last, error, output)


@contextlib.contextmanager
def _door(prepared: Prepared, door: Door | None, *, stays: bool) -> Iterator[Door]:
    from nbvertex.reaching import reached

    if door is not None:
        yield door
        return
    with reached(prepared.chosen.profile, stays=stays) as found:
        yield found


@contextlib.contextmanager
def _book(prepared: Prepared) -> Iterator[Submissions]:
    """The book, and the lock that says that somebody is creating these jobs."""
    from nbvertex.actions import remote
    from nbvertex.ledger import lock_of
    from nbvertex.locks import Lock

    with remote.book_of(prepared.home) as book:
        lock = Lock(lock_of(prepared.home, prepared.submission.id))
        lock.acquire()
        try:
            yield book
        finally:
            lock.release()


def _error(last: Submission, lines: list[tuple[str, str]]) -> NbvertexError | None:
    from nbvertex import blamed

    if last.state == "done":
        return None
    if last.state == "interrupted":
        return StepFailed(f"the run {last.id} was cancelled at Vertex AI", code="cancelled")
    if last.state == "unknown":
        return RemoteError(last.error or f"nobody can tell what became of {last.id}", code="remote-unknown")
    found = blamed.first_failure(lines, os.path.basename(last.notebook))
    return found or StepFailed(
        last.error or f"the run {last.id} failed", hint=f"nbvertex runs logs {last.id}"
    )
